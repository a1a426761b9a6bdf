package signals

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// notifySource is built on os/signal. See the package's documentation for what it cannot do.
type notifySource struct {
	c         chan Signal
	done      chan struct{}
	closeOnce sync.Once
	late      sync.Once

	mu       sync.Mutex
	channels []chan os.Signal
}

// stops are the signals that are caught before the command starts, and must be: their default would
// end this process. Each signal costs about 30 µs, because os/signal hands it to a thread of its
// own.
var stops = []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT}

// standard are the rest of what is usually sent. Until they are caught the Go runtime swallows
// them. Not here: what cannot be caught (KILL, STOP), what is the runtime's or the reaper's (URG,
// PROF, CHLD).
var standard = []unix.Signal{
	unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGWINCH,
	unix.SIGPIPE, unix.SIGALRM, unix.SIGSTKFLT, unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGIO,
	unix.SIGPWR,
}

// faults are the signals of a program's own mistakes. Of these, os/signal delivers those that a
// process sent with kill(2); a real fault stays what it is.
var faults = []unix.Signal{
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGSYS,
}

func listenNotify() *Source {
	s := &notifySource{c: make(chan Signal), done: make(chan struct{})}
	for _, sig := range stops {
		s.add(sig)
	}
	return &Source{C: s.c, Late: s.listenLate, notify: s}
}

// listenLate adds all other signals. It takes about 1.5 ms, and is called while the command starts
// so that the start does not pay for it. What comes before that is swallowed by the Go runtime,
// except for those whose default ends a process with a core dump: of these, one that was sent ends
// this process.
func (s *notifySource) listenLate() {
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

// add catches one signal. Each number has a channel of capacity 1 of its own, so that what is
// pending is merged per number, as in the kernel, and a flood of one never crowds out another.
func (s *notifySource) add(sig unix.Signal) {
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

// close ends the delivery.
func (s *notifySource) close() {
	s.closeOnce.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		close(s.done)
		for _, ch := range s.channels {
			signal.Stop(ch)
		}
	})
}
