package signals

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// Sender says who sent a signal. The zero value, with Known false, means that the source cannot
// tell.
type Sender struct {
	Known  bool
	Kernel bool // the kernel itself: a key on the terminal, a timer, a limit. There is no PID then
	// The sender has written PID and UID (sigqueue(3), rt_sigqueueinfo(2)), and may have lied.
	Claimed bool
	PID     int    // 0: from outside this PID namespace
	UID     int    // the sender's real user ID, as seen from this user namespace
	Comm    string // the name of PID at the time it was looked up; a source leaves it empty
}

// Signal is one signal that arrived.
type Signal struct {
	Number unix.Signal
	Sender Sender
	Code   int32  // si_code (sigaction(2)); SI_QUEUE has a value
	Value  uint64 // si_value
	Passed bool   // it was passed on already
}

// Source delivers the signals that were sent to this process, on C, which is never closed. It is
// built on os/signal: see the package's documentation for what it cannot do.
type Source struct {
	C <-chan Signal

	// Late, if not nil, catches what is not caught yet. It may take milliseconds.
	Late func()

	notify *notifySource // nil: nothing is delivered
}

// CatchChildren delivers SIGCHLD as well, from now on: for who has no child to wait for, but may
// get one (an orphan). It is never passed on.
func (s *Source) CatchChildren() {
	if s.notify != nil {
		s.notify.add(unix.SIGCHLD)
	}
}

// Close gives every signal back its earlier disposition. What was not read by then is lost. It may
// be called twice.
func (s *Source) Close() {
	if s.notify != nil {
		s.notify.close()
	}
}

// Set is a set of signals: bit n-1 is signal n, as in the kernel and in /proc/PID/status.
type Set uint64

// SetOf returns the set of sigs. Numbers that are no signal are in no set.
func SetOf(sigs ...unix.Signal) (s Set) {
	for _, sig := range sigs {
		if sig >= 1 && sig <= RTMax {
			s |= 1 << (sig - 1)
		}
	}
	return s
}

// Has reports whether sig is in s.
func (s Set) Has(sig unix.Signal) bool { return sig >= 1 && sig <= RTMax && s&(1<<(sig-1)) != 0 }

// Len returns how many signals are in s.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Listen starts to catch signals. Those that ask for an end (SIGTERM, SIGINT, SIGHUP, SIGQUIT) are
// caught when it returns; Late is about the rest.
func Listen() *Source { return listenNotify() }
