package signals

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// Sender says who sent a signal. The zero value, with Known false, means that the source cannot tell.
type Sender struct {
	Known bool
	PID   int    // 0: from outside this PID namespace
	UID   int    // the sender's real user ID, as seen from this user namespace
	Comm  string // the sender's name at the time it was looked up; may be empty
}

// Signal is one signal that arrived.
type Signal struct {
	Number unix.Signal
	Sender Sender
}

// Source delivers the signals that were sent to this process. C is never closed; Close ends the delivery.
type Source struct {
	C <-chan Signal

	c         chan Signal
	done      chan struct{}
	closeOnce sync.Once
	late      sync.Once

	mu       sync.Mutex
	channels []chan os.Signal
}

// stops are the signals that are caught before the command starts, and must be: their default would end this process. Each signal
// costs about 30 µs, because os/signal hands it to a thread of its own.
var stops = []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT}

// standard are the rest of what is usually sent. Until they are caught the Go runtime swallows them. Not here: what cannot be caught
// (KILL, STOP), what is the runtime's or the reaper's (URG, PROF, CHLD).
var standard = []unix.Signal{
	unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGWINCH,
	unix.SIGPIPE, unix.SIGALRM, unix.SIGSTKFLT, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGIO, unix.SIGPWR,
}

// faults are the signals of a program's own mistakes. Of these, os/signal delivers those that a process sent with kill(2); a real
// fault stays what it is.
var faults = []unix.Signal{
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGSYS,
}

// Listen starts to catch signals. Those that ask for an end (SIGTERM, SIGINT, SIGHUP, SIGQUIT) are caught when it returns; call
// [Source.ListenLate] for the rest.
func Listen() *Source {
	s := &Source{c: make(chan Signal), done: make(chan struct{})}
	s.C = s.c
	for _, sig := range stops {
		s.add(sig)
	}
	return s
}

// ListenLate adds all other signals. It takes about 1.5 ms, and is called while the command starts so that the start does not pay for
// it. What comes before that is swallowed by the Go runtime, except for those whose default ends a process with a core dump: of
// these, one that was sent ends this process.
func (s *Source) ListenLate() {
	s.late.Do(func() {
		for _, sig := range standard {
			s.add(sig)
		}
		for _, sig := range faults {
			s.add(sig)
		}
		for sig := RTMin + 1; sig <= RTMax; sig++ {
			s.add(sig)
		}
	})
}

// add catches one signal. Each number has a channel of capacity 1 of its own, so that what is pending is merged per number, as
// in the kernel, and a flood of one never crowds out another.
func (s *Source) add(sig unix.Signal) {
	if (sig == unix.SIGHUP || sig == unix.SIGINT) && signal.Ignored(sig) {
		return // nohup, or a shell without job control in the background: the command inherits it
	}
	ch := make(chan os.Signal, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return
	default:
	}
	s.channels = append(s.channels, ch)
	signal.Notify(ch, sig)
	go func() {
		for {
			select {
			case <-ch:
			case <-s.done:
				return
			}
			select {
			case s.c <- Signal{Number: sig}:
			case <-s.done:
				return
			}
		}
	}()
}

// Close gives every signal back its earlier disposition and ends the delivery. What was not read by then is lost.
func (s *Source) Close() {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.done)
		for _, ch := range s.channels {
			signal.Stop(ch)
		}
	})
}
