package effects

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// LaterDescriptors is how many are needed after the start: the command's pidfd, and one for the
// sweeps over the tree.
const LaterDescriptors = 2

// mostDescriptors are needed where there are a terminal and a timer, records and snapshots besides.
const mostDescriptors = LaterDescriptors + 4

// ReserveDescriptors makes sure that there is room for LaterDescriptors, and for the two that the
// runtime opens for its timers (epoll and eventfd): without, it aborts, and no recover helps.
func ReserveDescriptors() error {
	const needed = LaterDescriptors + 2
	if err := HaveDescriptors(needed); err != nil {
		return fmt.Errorf("cannot reserve %d file descriptors: %w", needed, err)
	}
	time.AfterFunc(time.Hour, func() {}).Stop() // which the runtime has to wait for by a poll
	return nil
}

// HaveDescriptors asks whether there are that many, mostDescriptors at most.
func HaveDescriptors(needed int) error {
	var fds [mostDescriptors]int
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
	return err
}
