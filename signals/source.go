package signals

import (
	"math/bits"
	"time"

	"golang.org/x/sys/unix"
)

// Sender says who sent a signal. The zero value, with Known false, means that the source cannot tell.
type Sender struct {
	Known  bool
	Kernel bool   // the kernel itself: a key on the terminal, a timer, a limit. There is no PID then
	PID    int    // 0: from outside this PID namespace
	UID    int    // the sender's real user ID, as seen from this user namespace
	Comm   string // the sender's name at the time it was looked up; a source leaves it empty
}

// Signal is one signal that arrived.
type Signal struct {
	Number unix.Signal
	Sender Sender
	Code   int32  // si_code (sigaction(2)); SI_QUEUE has a value
	Value  uint64 // si_value
	Passed bool   // the source has passed it on already: see [Source.Pass]

	recorded bool // it counts for Mark
}

// Source delivers the signals that were sent to this process, on C, which is never closed.
type Source struct {
	C <-chan Signal

	// Late, if not nil, catches what is not caught yet. It may take milliseconds.
	Late func()

	entry  *entrySource // one of these is nil
	notify *notifySource
}

// Name names the mechanism.
func (s *Source) Name() string {
	if s.entry != nil {
		return "entry"
	}
	return "os/signal"
}

// Polls reports whether the source has made the runtime open the descriptors by which it polls others.
func (s *Source) Polls() bool { return s.entry != nil }

// CatchChildren delivers SIGCHLD as well, from now on: for who has no child to wait for, but may get one (an orphan). It is never passed on.
func (s *Source) CatchChildren() {
	if s.entry != nil {
		s.entry.catchChildren()
	} else if s.notify != nil {
		s.notify.add(unix.SIGCHLD)
	}
}

// Done says that a signal from C has been dealt with. Every one must be, in their order.
func (s *Source) Done(sig Signal) {
	if s.entry != nil {
		s.entry.finished(sig)
	}
}

// Mark returns a mark for what has arrived until now, for Reached. Where the mechanism cannot tell, everything has been reached always.
func (s *Source) Mark() uint32 {
	if s.entry != nil {
		return s.entry.mark()
	}
	return 0
}

// Reached reports whether everything that had arrived at mark has been dealt with. If not, the rest is on its way to C.
func (s *Source) Reached(mark uint32) bool { return s.entry == nil || s.entry.reached(mark) }

// Pass allows the source to pass the signals of set on by itself, the moment they arrive: to the process that pidfd names, or to its process
// group (Linux 6.9). They come on C all the same, as Passed, so that what came of them can be told. What arrived earlier and is not Done
// is never overtaken. Those of quiet are only counted (see Quiet), which costs much less. A source that cannot do it ignores it. A pidfd of
// -1 ends it: after that, nothing is passed on.
func (s *Source) Pass(pidfd int, group bool, set, quiet Set) {
	if s.entry != nil {
		s.entry.pass(pidfd, group, set, quiet)
	}
}

// Settle tells the source that the command has been started: what it could do later it does now, or soon.
func (s *Source) Settle() {
	if s.entry != nil {
		s.entry.settle()
	}
}

// CoarseMonitor has [Source.Settle] leave the Go runtime's monitor with coarse timers, which saves most of what it does while there is little to do. It may then be
// 10 ms late to see that a goroutine stays in a system call while others could run. And the threads that it makes for those have its timers, from then on, so this is
// for a program that has all its threads before.
func (s *Source) CoarseMonitor() {
	if s.entry != nil {
		s.entry.coarse = true
	}
}

// Quiet returns how many signals were passed on without coming on C.
func (s *Source) Quiet() int {
	if s.entry != nil {
		return int(quiet.Load())
	}
	return 0
}

// Lost returns how many real-time signals had to be thrown away so far.
func (s *Source) Lost() int {
	if s.entry != nil {
		return int(lost.Load())
	}
	return 0
}

// Close gives every signal back its earlier disposition. What was not read by then is lost. It may be called twice.
func (s *Source) Close() {
	switch {
	case s.entry != nil:
		s.entry.close()
	case s.notify != nil:
		s.notify.close()
	}
}

// Set is a set of signals: bit n-1 is signal n, as in the kernel and in /proc/PID/status.
type Set uint64

// SetOf returns the set of sigs.
func SetOf(sigs ...unix.Signal) (s Set) {
	for _, sig := range sigs {
		s |= 1 << (sig - 1)
	}
	return s
}

// Has reports whether sig is in s.
func (s Set) Has(sig unix.Signal) bool { return sig >= 1 && sig <= RTMax && s&(1<<(sig-1)) != 0 }

// Len returns how many signals are in s.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// Sets with a meaning of their own. They are constants because some are needed before the Go runtime has started.
const (
	stopSet Set = 1<<(unix.SIGHUP-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGTERM-1)

	// faultSet are the signals of a program's own mistakes.
	faultSet Set = 1<<(unix.SIGSEGV-1) | 1<<(unix.SIGBUS-1) | 1<<(unix.SIGFPE-1) | 1<<(unix.SIGILL-1) | 1<<(unix.SIGTRAP-1) |
		1<<(unix.SIGABRT-1) | 1<<(unix.SIGSYS-1)

	// neverSet is what cannot be caught, or is the reaper's.
	neverSet Set = 1<<(unix.SIGKILL-1) | 1<<(unix.SIGSTOP-1) | 1<<(unix.SIGCHLD-1)
)

// Listen starts to catch signals. Those that ask for an end (SIGTERM, SIGINT, SIGHUP, SIGQUIT) are caught when it returns; Late is about the
// rest.
//
// A binary that was linked with the entry point of this package (see the package's documentation) gets an exact source, any other one that
// is built on os/signal.
func Listen() *Source {
	if s := listenEntry(); s != nil {
		return s
	}
	return listenNotify()
}

// Inherited is what this process was started with, before the Go runtime changed it.
type Inherited struct {
	Mask    Set         // blocked signals
	Ignored Set         // signals whose disposition is SIG_IGN
	Files   unix.Rlimit // RLIMIT_NOFILE

	TimerSlack time.Duration // PR_SET_TIMERSLACK; 0: unknown
}
