package nsutil

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// PidfdSignal sends sig to the process that pidfd names (pidfd_send_signal(2), Linux 5.1). A zombie takes it without error;
// ESRCH comes once the process was reaped.
func PidfdSignal(pidfd int, sig unix.Signal) error {
	if err := unix.PidfdSendSignal(pidfd, sig, nil, 0); err != nil {
		return fmt.Errorf("pidfd_send_signal: %w", err)
	}
	return nil
}

// PidfdReadable reports whether the process that pidfd names has ended (poll(2) on it; Linux 5.3). It does not block.
func PidfdReadable(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := retry(func() (int, error) { return unix.Poll(fds, 0) })
	return err == nil && n == 1 && fds[0].Revents&unix.POLLIN != 0
}
