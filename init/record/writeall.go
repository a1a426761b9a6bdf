package record

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

// WriteAll writes p to fd, until deadline if that is not zero. While the reader is slow it waits in
// Go and asks again: a write that blocked would keep a thread of the runtime, and there may be no
// other while the command fills a limit of them. O_NONBLOCK is no way to that, since it would be
// the command's as well. What poll(2) says is ready takes a few lines (pipe(7), PIPE_BUF); only if
// another writer fills the pipe in between does a write block.
func WriteAll(fd int, p []byte, deadline time.Time) error {
	return writeAll(fd, p, deadline, func() bool { return false })
}

// writeAll is WriteAll, until stop says so.
func writeAll(fd int, p []byte, deadline time.Time, stop func() bool) error {
	const chunk, longest = 4096, 256 * time.Millisecond
	wait := time.Millisecond
	for len(p) > 0 {
		if stop() {
			return unix.ETIMEDOUT
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
		if err == nil && n == 0 {
			if !deadline.IsZero() && time.Now().After(deadline) {
				return unix.ETIMEDOUT
			}
			time.Sleep(wait)
			wait = min(2*wait, longest)
			continue
		}
		if err == unix.EINTR {
			continue
		}
		err = signals.Shielded(func() (err error) {
			n, err = unix.Write(fd, p[:min(len(p), chunk)])
			return err
		})
		switch err {
		case nil:
			p, wait = p[n:], time.Millisecond
		case unix.EINTR, unix.EAGAIN: // EAGAIN: another process has made the open file non-blocking
		default:
			return err
		}
	}
	return nil
}

// isClosedBy waits for a channel to be closed, until a time, and reports whether it was.
func isClosedBy(done <-chan struct{}, until time.Time) bool {
	limit := time.NewTimer(time.Until(until))
	defer limit.Stop()
	select {
	case <-done:
		return true
	case <-limit.C:
		return false
	}
}
