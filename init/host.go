package pid1

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// host is the real [kernel]. Its methods are the owner's, except where they say otherwise.
type host struct {
	cfg  *Config
	role nsutil.Role
	post func(event)
	done <-chan struct{} // closed when the run is over

	reaper   reap.Loop
	trees    *treeWorker
	terminal *terminal // nil where there is none
	missing  []string  // what finite has to do without

	pid, pidfd int // the command, once adopted; pidfd is -1 where there is none
}

func newHost(cfg *Config, role nsutil.Role, post func(event), done <-chan struct{}) *host {
	h := &host{cfg: cfg, role: role, post: post, done: done, pidfd: -1}
	if role != nsutil.RoleInit {
		if err := nsutil.BecomeSubreaper(); err != nil {
			h.miss("subreaper")
		}
	}
	h.terminal = openTerminal()
	h.trees = newTreeWorker(role, &h.reaper, post)
	return h
}

func (h *host) miss(what string) {
	if !slices.Contains(h.missing, what) {
		h.missing = append(h.missing, what)
	}
}

func (h *host) without() []string { return h.missing }

// start runs the reaper, which starts the command on its own thread.
func (h *host) start() {
	watcher := &reapWatcher{post: h.post, done: h.done, handled: make(chan struct{}, 1)}
	go h.reaper.Run(func() int {
		if sig := h.cfg.ParentDeath; sig != 0 {
			h.watchParent(sig)
		}
		child, err := spawn(h.cfg, h.terminal)
		if err != nil {
			h.post(event{kind: evStartFailed, step: err.step, err: err.err})
			return 0
		}
		h.post(event{kind: evStarted, pid: child.pid, pidfd: child.pidfd})
		if h.cfg.listenLate != nil {
			go func() {
				h.cfg.listenLate()
				h.post(event{kind: evListening})
			}()
		}
		return child.pid
	}, watcher)
}

// watchParent runs on the reaper's thread, which lives as long as the process: the attribute is the thread's. A parent that was gone
// before it was set has sent nothing, so what it would have sent is made up for.
func (h *host) watchParent(sig unix.Signal) {
	if err := nsutil.SetParentDeathSignal(sig); err != nil {
		h.post(event{kind: evTrouble, err: err})
		return
	}
	if unix.Getppid() != h.cfg.ParentPID {
		h.post(event{kind: evSignal, signal: signals.Signal{Number: sig}})
	}
}

func (h *host) adopt(pid, pidfd int) {
	h.pid, h.pidfd = pid, pidfd
	if pidfd < 0 {
		h.miss("pidfd")
	}
	if h.terminal != nil && !h.terminal.adopt(pid) {
		h.miss("foreground")
	}
}

// errGone is why a signal is not sent to a command that was reaped, or that does not run yet.
var errGone = errors.New("the command is not running")

// signal is called for the command only between evStarted and evExited: within that time its PID is its own, and so is the number of a
// process group that it leads.
func (h *host) signal(target Forward, sig unix.Signal) error {
	if target == ForwardAll {
		return h.trees.signal(sig)
	}
	if h.pid == 0 {
		return errGone
	}
	if target == ForwardGroup {
		// Only the group that the command leads, since clone. One that it has moved on to may be anybody's.
		if group, err := unix.Getpgid(h.pid); err == nil && group == h.pid {
			if err := unix.Kill(-group, sig); err != unix.ESRCH {
				return wrapKill(err)
			}
		}
	}
	return h.signalChild(sig)
}

func (h *host) signalChild(sig unix.Signal) error {
	if h.pidfd >= 0 {
		err := nsutil.PidfdSignal(h.pidfd, sig)
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
			return err
		}
		// Refused by a filter, or really not permitted: kill(2) tells which. The child is unreaped, so the PID is its own.
		if err := unix.Kill(h.pid, sig); err != nil {
			return wrapKill(err)
		}
		h.miss("pidfd")
		return nil
	}
	return wrapKill(unix.Kill(h.pid, sig))
}

func wrapKill(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("kill: %w", err)
}

func (h *host) gone() bool {
	if h.pidfd >= 0 {
		return nsutil.PidfdReadable(h.pidfd)
	}
	return h.pid != 0 && reap.HasEnded(h.pid)
}

func (h *host) terminate(sig unix.Signal) { _ = h.trees.signal(sig, unix.SIGCONT) }
func (h *host) killTree()                 { h.trees.kill() }
func (h *host) survey()                   { h.trees.survey() }
func (h *host) namespaceEmpty() bool      { return nsutil.NamespaceEmpty() }
func (h *host) look()                     { h.reaper.Again() }

func (h *host) suspend() {
	if h.role == nsutil.RoleInit || h.terminal == nil {
		return
	}
	if h.cfg.listenLate != nil {
		h.cfg.listenLate() // SIGCONT must be caught before a stop that only SIGCONT ends; done already, unless the stop comes at once
	}
	h.terminal.suspend()
}

func (h *host) foreground() {
	if h.terminal != nil {
		h.terminal.give()
	}
}

func (h *host) close() {
	h.reaper.Close()
	h.trees.close()
	if h.pidfd >= 0 {
		_ = unix.Close(h.pidfd)
		h.pidfd = -1
	}
	if h.terminal != nil {
		h.terminal.close()
	}
}

// reapWatcher turns what the reaper sees into events.
type reapWatcher struct {
	post    func(event)
	done    <-chan struct{} // closed when the run is over
	handled chan struct{}
}

// Exited returns when the owner has handled the event: from then on it does not signal the command, whose PID is free after this.
func (w *reapWatcher) Exited(c reap.Change) {
	w.post(event{kind: evExited, change: c, handled: w.handled})
	select {
	case <-w.handled:
	case <-w.done:
	}
}

// Reaped makes one event of a batch: of orphans, only how many there were matters.
func (w *reapWatcher) Reaped(all []reap.Change) {
	ev := event{kind: evReaped, count: len(all)}
	for i := range all {
		if all[i].Signal() == unix.SIGKILL {
			ev.killed++
		}
	}
	w.post(ev)
}

func (w *reapWatcher) Stopped(c reap.Change) { w.post(event{kind: evStopped, change: c}) }
func (w *reapWatcher) Remaining()            { w.post(event{kind: evRemaining}) }
func (w *reapWatcher) Empty()                { w.post(event{kind: evEmpty}) }
func (w *reapWatcher) Failed(err error)      { w.post(event{kind: evTrouble, err: err}) }
