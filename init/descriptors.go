package pid1

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// reserveDescriptors makes sure that there is room for the command's pidfd and for the sweeps over the tree, and before that for the two
// descriptors that the runtime opens for its timers (epoll and eventfd), unless it has them: without, it aborts, and no recover helps.
func reserveDescriptors(polls bool) error {
	needed := 2
	if !polls {
		needed += 2
	}
	var fds [4]int
	n := 0
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	for err == nil {
		fds[n] = fd
		if n++; n == needed {
			break
		}
		fd, err = unix.FcntlInt(uintptr(fds[0]), unix.F_DUPFD_CLOEXEC, 0)
	}
	for _, fd := range fds[:n] {
		_ = unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("cannot reserve %d file descriptors: %w", needed, err)
	}
	if !polls {
		time.NewTimer(time.Hour).Stop()
	}
	return nil
}
