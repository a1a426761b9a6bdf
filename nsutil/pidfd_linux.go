package nsutil

import (
	"golang.org/x/sys/unix"
)

// PidfdReadable reports whether the process that pidfd names has ended (poll(2) on it; Linux 5.3). It does not block.
func PidfdReadable(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := retry(func() (int, error) { return unix.Poll(fds, 0) })
	return err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0
}
