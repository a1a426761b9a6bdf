//go:build amd64 || arm64

package keeper

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
)

// Link is the supervisor's or planner's end of what it shares with the keeper or front. Its methods
// may be called from any goroutine.
type Link struct {
	Facts Facts // as they were when this process was forked

	// Stderr is the descriptor of standard error. Descriptor 2 cannot be written to. So what the Go
	// runtime writes when it ends the process goes nowhere. Another supervisor goes on.
	Stderr int

	// Plan is the plan that a planner completes; nil: the process is a supervisor.
	Plan *Plan

	socket int

	// What follows is of Hear, which one goroutine calls.
	file   *sys.File
	heard  Message
	rights [24]byte // for one descriptor
	vector unix.Iovec
	header unix.Msghdr
}

// Entered reports whether this process began at this package's entry point.
func Entered() bool { return entered }

// signalsBlocked says that Attach has returned a link.
var signalsBlocked bool

// SignalsBlocked reports whether this process is a supervisor or a planner. All of its threads
// block the signals that the Go runtime leaves blocked.
func SignalsBlocked() bool { return signalsBlocked }

// Environ returns the environment that this process was started with, in the kernel's order. Where
// the process began at the entry point, os.Environ lacks the variables that begin with GO.
func Environ() []string {
	if !entered {
		return os.Environ()
	}
	var env []string
	for i := 0; wordAt(plain.envp, i) != 0; i++ {
		p := wordAt(plain.envp, i)
		n := 0
		for byteAt(p+uintptr(n)) != 0 {
			n++
		}
		env = append(env, unsafe.String((*byte)(pointer(p)), n)) // the kernel does not move it
	}
	return env
}

// Attach returns the link of a process that is a supervisor or a planner, and nil in any other. It
// is called once.
func Attach() *Link {
	if attached.socket <= 0 {
		return nil
	}
	l := &Link{Facts: facts, Stderr: unix.Stderr, socket: int(attached.socket)}
	if attached.stderr >= 0 {
		l.Stderr = int(attached.stderr)
	}
	if attached.planner {
		l.Plan = thePlan()
	}
	procfs.Use(int(procFD))
	attached.socket = 0
	signalsBlocked = true
	return l
}

// Listen registers the link with the poller of the Go runtime, which needs two descriptors for
// that. It is called once, before Hear. If it fails, this process hears nothing of the keeper.
func (l *Link) Listen() (err error) {
	unpin()
	l.file, err = sys.NewFile(l.socket, "keeper")
	return err
}

// Tell sends a message to the keeper, with a descriptor where fd is not negative. An error means
// that the keeper is gone, or cannot be told at all.
func (l *Link) Tell(m Message, fd int) error {
	b := (*[messageSize]byte)(unsafe.Pointer(&m))[:]
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		switch err := unix.Sendmsg(l.socket, b, rights, nil, unix.MSG_NOSIGNAL); err {
		case unix.EINTR:
		case unix.EAGAIN: // the keeper reads in a moment
			sys.Writable(l.socket)
		case unix.ENOMEM, unix.ENOBUFS, unix.ETOOMANYREFS:
			time.Sleep(scarceTime)
		default:
			return err
		}
	}
}

// scarceTime is the time between two tries where the kernel lacks memory. A process that goes on
// trying is silent for its keeper, and is replaced.
const scarceTime = time.Millisecond

// Hear waits for the keeper's next message. It returns the descriptor that came with the message,
// -1 for none. An error means that the keeper is gone.
func (l *Link) Hear() (m Message, fd int, err error) {
	for {
		l.vector = unix.Iovec{Base: (*byte)(unsafe.Pointer(&l.heard))}
		l.vector.SetLen(int(messageSize))
		l.header = unix.Msghdr{Iov: &l.vector, Control: &l.rights[0]}
		l.header.SetIovlen(1)
		l.header.SetControllen(len(l.rights))
		n, err := l.file.Receive(&l.header)
		switch {
		case err == unix.ENOMEM || err == unix.ENOBUFS:
			time.Sleep(scarceTime)
			continue
		case err == unix.ECONNRESET: // the keeper has left a message unread; what it sent may wait
			continue
		case err != nil:
			return Message{}, -1, fmt.Errorf("recvmsg: %w", err)
		case n == 0:
			return Message{}, -1, unix.EPIPE
		}
		whole := uintptr(n) == messageSize && l.header.Flags&unix.MSG_TRUNC == 0
		fd := passedDescriptor(l.rights[:l.header.Controllen], whole && takesDescriptor(l.heard.Kind))
		if whole {
			return l.heard, fd, nil
		}
	}
}

// passedDescriptor returns the descriptor of a control message, -1 for none. It closes those that
// are not wanted.
func passedDescriptor(rights []byte, wanted bool) int {
	all, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(all) != 1 {
		return -1
	}
	fds, err := unix.ParseUnixRights(&all[0])
	if err != nil || len(fds) == 0 {
		return -1
	}
	passed := -1
	if wanted {
		passed, fds = fds[0], fds[1:]
	}
	for _, fd := range fds {
		sys.Close(fd)
	}
	return passed
}
