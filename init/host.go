package pid1

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/stack"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// host is the real [kernel]. Its methods are the owner's, except where they say otherwise.
type host struct {
	cfg    *Config
	role   nsutil.Role
	post   func(event)
	done   <-chan struct{} // closed when the run is over
	events *eventLog       // nil: none are wanted

	reaper   reap.Loop
	watcher  reapWatcher
	trees    treeWorker
	leaf     *cgroup.Cgroup // the command's cgroup; nil: it has none of its own
	oom      oomWatch
	held     heldWatch
	late     *time.Timer // for what is done a little later
	terminal *terminal   // nil where there is none
	missing  []string    // what finite has to do without
	lastKill *time.Timer // of the command, where it is to be killed last

	proc        *procfs.Proc // nil until it is needed
	procMounted bool

	pid, pidfd int         // the command, once adopted; pidfd is -1 where there is none
	byNumber   atomic.Bool // the command is signalled by its PID, so the reaper must not free that before the owner knows
}

func (h *host) init(cfg *Config, role nsutil.Role, post func(event), done <-chan struct{}, events *eventLog) {
	h.cfg, h.role, h.post, h.done, h.events, h.leaf, h.pidfd = cfg, role, post, done, events, cfg.leaf, -1
	h.held.post, h.held.spare, h.oom.spare = post, cfg.descriptors()+2, cfg.descriptors()+2
	h.byNumber.Store(true) // until there is something better
	if role != nsutil.RoleInit {
		if err := nsutil.BecomeSubreaper(); err != nil {
			h.miss("subreaper")
		}
	}
	h.terminal = openTerminal()
	h.trees = treeWorker{role: role, pin: &h.reaper, leaf: cfg.leaf, post: post, stopKill: make(chan struct{})}
	h.watcher = reapWatcher{post: post, done: done, byNumber: &h.byNumber, events: events}
	if cfg.noLeaf != nil {
		h.miss("cgroup")
	}
}

func (h *host) miss(what string) {
	if !h.lacks(what) {
		h.missing = append(h.missing, what)
	}
}

func (h *host) lacks(what string) bool { return slices.Contains(h.missing, what) }

func (h *host) without() []string { return h.missing }

// start runs the reaper, which starts the command on its own thread.
func (h *host) start() {
	if h.events != nil {
		h.reaper.Peek = func(c reap.Change) { h.events.reaped("reaped", &c) }
	}
	start := func() int {
		reserveThreads(h.cfg.moreThreads())
		if h.cfg.Pause {
			settleThreads()
			return 0
		}
		child, err := spawn(h.cfg, h.terminal)
		settleThreads()
		if err != nil {
			h.post(event{kind: evStartFailed, step: err.step, err: err.err})
			return 0
		}
		h.events.add(runEvent{Event: "started", PID: child.pid, Command: h.cfg.Args}) // here, for it is to be the first
		h.post(event{kind: evStarted, pid: child.pid, pidfd: child.pidfd, inLeaf: child.how.cgroup >= 0, err: child.err})
		if h.cfg.listenLate != nil {
			go func() {
				h.cfg.listenLate()
				h.post(event{kind: evListening})
			}()
		}
		return child.pid
	}
	go func() {
		stack.Grow()
		h.reaper.Run(start, &h.watcher)
	}()
}

func (h *host) passOn(int, passRules) {
}

func (h *host) noteFact(event) {}

func (h *host) latest(time.Duration, int, bool) {}

func (h *host) alarm(d time.Duration, fire func()) clock { return newTimeout(d, fire) }

func (h *host) adopt(pid, pidfd int, inLeaf bool) {
	h.pid, h.pidfd = pid, pidfd
	h.late = time.AfterFunc(lateDelay, func() {
		h.oom.begin()
		h.held.watch(pid, pidfd)
	})
	if h.leaf != nil && !inLeaf {
		h.miss("cgroup")
	}
	switch {
	case pidfd < 0, refused(signals.Send(pidfd, signals.Signal{}, false)): // the signal 0 only asks (kill(2))
		h.miss("pidfd")
	default:
		h.byNumber.Store(false)
	}
	if h.terminal != nil && !h.terminal.adopt(pid) {
		h.miss("foreground")
	}
}

// lateDelay is how long after the start of the command some things are looked at that few commands
// are short enough to miss: to find the memory cgroup takes 0.03 ms. The source has a timer for the
// same moment, so nothing wakes for this.
const lateDelay = 10 * time.Millisecond

// errGone is why a signal is not sent to a command that was reaped, or that does not run yet.
var errGone = errors.New("the command is not running")

// signal is called for the command only between evStarted and evExited.
func (h *host) signal(target Forward, sig signals.Signal) error {
	switch {
	case target == ForwardAll:
		return h.trees.signal(sig.Number)
	case h.pid == 0:
		return errGone
	case target == ForwardChild && sig.Number == unix.SIGKILL && h.lacks("subreaper"):
		h.killLast()
		return nil
	case target == ForwardGroup:
		if done, err := h.signalGroup(sig); done {
			return err
		}
	}
	if h.byNumber.Load() {
		return signals.SendPID(h.pid, sig) // its own, since the reaper waits for the owner
	}
	return signals.Send(h.pidfd, sig, false)
}

// lateKill is how long the kill of a tree may take to come to the command.
const lateKill = 250 * time.Millisecond

// killLast has the command killed after everybody below it, where this process gets no orphans:
// they would be somebody else's with the command gone, and not be found. If the walk over the tree
// does not come to an end (a /proc that hangs), the command is killed all the same.
func (h *host) killLast() {
	h.trees.kill()
	pid := h.pid
	h.lastKill = time.AfterFunc(lateKill, func() {
		h.reaper.Lock()
		defer h.reaper.Unlock()
		if sys.IsChild(pid) { // and stays one until Unlock
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
}

// signalGroup signals the process group that the command has led since clone, if it is there still;
// one that the command has moved on to may be anybody's.
func (h *host) signalGroup(sig signals.Signal) (done bool, err error) {
	if !h.byNumber.Load() {
		switch err := signals.Send(h.pidfd, sig, true); {
		case errors.Is(err, unix.ESRCH):
			return false, nil
		case !errors.Is(err, unix.EINVAL): // before Linux 6.9
			return true, err
		}
		// Nobody is reaped until Unlock. If the command was not before, its number is its own until
		// then.
		h.reaper.Lock()
		defer h.reaper.Unlock()
		if errors.Is(signals.Send(h.pidfd, signals.Signal{}, false), unix.ESRCH) {
			return true, errGone
		}
	}
	if group, err := unix.Getpgid(h.pid); err != nil || group != h.pid {
		return false, nil
	}
	err = unix.Kill(-h.pid, sig.Number)
	return err != unix.ESRCH, wrapKill(err)
}

// refused reports whether a system call was not there, or not allowed.
func refused(err error) bool { return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) }

func wrapKill(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("kill: %w", err)
}

// identify looks up the sender's name, which may be another's by now if the sender is gone.
func (h *host) identify(pid int) string {
	if pid <= 0 {
		return ""
	}
	if h.proc == nil {
		h.proc = procfs.NewProc()
		h.procMounted = h.proc.Mounted()
	}
	if !h.procMounted {
		return ""
	}
	comm, _ := h.proc.Comm(pid)
	return comm
}

// watchParent is called on a thread that lives as long as the process: the attribute is the
// thread's.
func (h *host) watchParent(sig unix.Signal) (gone bool, err error) {
	if err := nsutil.SetParentDeathSignal(sig); err != nil {
		return false, err
	}
	return unix.Getppid() != h.cfg.ParentPID, nil
}

func (h *host) gone() bool {
	if h.pidfd >= 0 {
		return sys.Readable(h.pidfd) // poll(2) of a pidfd, Linux 5.3
	}
	return h.pid != 0 && reap.HasEnded(h.pid)
}

func (h *host) terminate(sig unix.Signal) { _ = h.trees.signal(sig, unix.SIGCONT) }
func (h *host) thaw()                     { h.trees.thaw(h.leaf) }
func (h *host) killTree()                 { h.trees.kill() }
func (h *host) survey()                   { h.trees.survey() }
func (h *host) look()                     { h.reaper.Again() }

func (h *host) dump() {
	go func() {
		s, err := inspect.TakeSnapshot(h.role, h.leaf, dumpLimit)
		h.post(event{kind: evDumped, snapshot: s, err: err})
	}()
}

func (h *host) empty() bool {
	if h.role == nsutil.RoleInit {
		return nsutil.NamespaceEmpty()
	}
	return h.leaf == nil || leafIsEmpty(h.leaf)
}

// leafIsEmpty reports whether nobody is in a cgroup. A process that was reaped leaves its cgroup by
// itself, on its last processor; and the owner does not wait for what may take longer.
func leafIsEmpty(leaf *cgroup.Cgroup) bool {
	for begin := time.Now(); ; sys.Yield() {
		populated, err := leaf.Populated()
		if err != nil || !populated {
			return true
		}
		if time.Since(begin) > leaveTime {
			return false
		}
	}
}

// leaveTime is how long a process that was reaped may be seen in its cgroup.
const leaveTime = time.Millisecond

func (h *host) oomKills() int { return h.oom.more() }

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

func (h *host) close(nobodyLeft bool) error {
	h.reaper.Close()
	h.trees.close()
	for _, t := range []*time.Timer{h.late, h.lastKill} {
		if t != nil {
			t.Stop()
		}
	}
	h.held.close()
	h.oom.close()
	if h.pidfd >= 0 {
		sys.Close(h.pidfd)
		h.pidfd = -1
	}
	if h.terminal != nil {
		h.terminal.close()
	}
	if h.leaf == nil {
		return nil
	}
	limit := time.Duration(0)
	if nobodyLeft {
		limit = removeLimit
	}
	return h.leaf.Remove(limit)
}

// removeLimit is how long it may take until an empty cgroup can be removed.
const removeLimit = time.Second
