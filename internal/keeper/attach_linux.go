//go:build amd64 || arm64

package keeper

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// Link is a supervisor's end of what it shares with the keeper. Its methods may be called from any
// goroutine.
type Link struct {
	Facts Facts // as they were when the supervisor was forked

	// Stderr is the descriptor of standard error. Descriptor 2 is /dev/null: what the Go runtime
	// says when it ends the process is for nobody, since another supervisor goes on.
	Stderr int

	socket int
	poll   unix.PollFd // Hear's
}

// Entered reports whether the process began at this package's entry point.
func Entered() bool { return entered }

// Attach returns the link of a process that is a supervisor, and nil in any other. It is called
// once.
func Attach() *Link {
	if attached.socket < 0 {
		return nil
	}
	l := &Link{Facts: facts, Stderr: unix.Stderr, socket: int(attached.socket)}
	if attached.stderr >= 0 {
		l.Stderr = int(attached.stderr)
	}
	attached.socket = -1
	return l
}

// Tell sends a message to the keeper, and a descriptor with it where that is not negative. An error
// means that the keeper is gone.
func (l *Link) Tell(m Message, fd int) error {
	b := (*[messageSize]byte)(unsafe.Pointer(&m))[:]
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		err := unix.Sendmsg(l.socket, b, rights, nil, unix.MSG_NOSIGNAL)
		if err != unix.EAGAIN && err != unix.EINTR {
			return err
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(l.socket), Events: unix.POLLOUT}}, 100)
	}
}

// errMessage says that a packet is no message.
var errMessage = errors.New("not a message of the keeper's")

// Hear waits for the keeper's next message, and keeps a thread meanwhile. It returns the descriptor
// that came with it, -1 for none. An error means that the keeper is gone.
func (l *Link) Hear() (m Message, fd int, err error) { // by one goroutine
	b := (*[messageSize]byte)(unsafe.Pointer(&m))[:]
	var rights [24]byte // for one descriptor
	for {
		l.poll = unix.PollFd{Fd: int32(l.socket), Events: unix.POLLIN}
		// The runtime is told that this takes long, so that other goroutines go on at once.
		if _, errno := sys.Wait(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&l.poll)), 1, 0, 0, 0, 0); errno != 0 && errno != unix.EINTR {
			return Message{}, -1, fmt.Errorf("ppoll: %w", errno)
		}
		n, controls, _, _, err := unix.Recvmsg(l.socket, b, rights[:], unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err != nil:
			return Message{}, -1, fmt.Errorf("recvmsg: %w", err)
		case n == 0:
			return Message{}, -1, unix.EPIPE
		case n != len(b):
			return Message{}, -1, errMessage
		default:
			return m, passedDescriptor(rights[:controls]), nil
		}
	}
}

func passedDescriptor(rights []byte) int {
	all, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(all) != 1 {
		return -1
	}
	fds, err := unix.ParseUnixRights(&all[0])
	if err != nil || len(fds) != 1 {
		return -1
	}
	return fds[0]
}
