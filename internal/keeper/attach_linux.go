//go:build amd64 || arm64

package keeper

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Link is a supervisor's end of what it shares with the keeper. Its methods may be called from any goroutine.
type Link struct {
	Facts Facts // as they were when the supervisor was forked

	socket int
}

// Attach returns the link of a process that is a supervisor, and nil in any other. It puts standard error back, and is
// called once.
func Attach() *Link {
	if attached.socket < 0 {
		return nil
	}
	if attached.stderr >= 0 {
		_ = unix.Dup3(int(attached.stderr), unix.Stderr, 0)
		_ = unix.Close(int(attached.stderr))
	}
	l := &Link{Facts: facts, socket: int(attached.socket)}
	attached.socket = -1
	return l
}

// Tell sends a message to the keeper. An error means that the keeper is gone.
func (l *Link) Tell(m Message) error {
	b := (*[messageSize]byte)(unsafe.Pointer(&m))[:]
	for {
		err := unix.Sendto(l.socket, b, unix.MSG_NOSIGNAL, nil)
		if err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(l.socket), Events: unix.POLLOUT}}, 100)
	}
}

// errMessage says that a packet is no message.
var errMessage = errors.New("not a message of the keeper's")

// Hear waits for the keeper's next message, and keeps a thread meanwhile. An error means that the keeper is gone.
func (l *Link) Hear() (Message, error) {
	var m Message
	b := (*[messageSize]byte)(unsafe.Pointer(&m))[:]
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(l.socket), Events: unix.POLLIN}}, -1); err != nil && err != unix.EINTR {
			return Message{}, fmt.Errorf("poll: %w", err)
		}
		n, _, err := unix.Recvfrom(l.socket, b, unix.MSG_DONTWAIT)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			return Message{}, fmt.Errorf("recv: %w", err)
		case n == 0:
			return Message{}, unix.EPIPE
		case n != len(b):
			return Message{}, errMessage
		default:
			return m, nil
		}
	}
}
