package effects

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/stack"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Direct carries out what the machine decides in the process that clones and waits by itself. Its
// methods are the owner's, except where they say otherwise.
type Direct struct {
	base
	reaper   reap.Loop
	watcher  reapWatcher
	terminal *terminal // nil where there is none

	proc        *procfs.Proc // nil until it is needed
	procMounted bool

	// The command is signalled by its PID, so the reaper must not free that before the owner knows.
	byNumber atomic.Bool
}

// Init takes over the options.
func (h *Direct) Init(o Options) {
	o.Kernel = o.kernel()
	h.init(o, o.descriptors()+2, o.Role == nsutil.RoleInit || o.Kernel.BecomeSubreaper() == nil)
	h.reaper.Kernel = o.Kernel.Reaper()
	h.trees.pin = &h.reaper
	h.byNumber.Store(true) // until there is something better
	if o.Kernel.Terminal() {
		h.terminal = openTerminal()
	}
	h.watcher = reapWatcher{post: o.Post, done: o.Done, byNumber: &h.byNumber, observer: o.Observer}
}

// Start runs the reaper, which starts the command on its own thread. It answers with EvStarted or
// EvStartFailed, and after that with what the reaper sees.
func (h *Direct) Start() {
	if h.TellsChildren {
		h.reaper.Peek = func(c reap.Change) { h.Observer.Zombie("reaped", &c) }
	}
	go func() {
		stack.Grow()
		h.reaper.Run(h.startCommand, &h.watcher)
	}()
}

func (h *Direct) startCommand() int {
	tty := -1
	if h.terminal != nil && h.terminal.foreground {
		tty = h.terminal.fd
	}
	child := h.Kernel.Start(h.Command, tty, h.Threads)
	switch {
	case child.Err != nil:
		h.Post(machine.Event{Kind: machine.EvStartFailed, Step: child.Step, Err: child.Err})
		return 0
	case h.Command == nil:
		return 0
	}
	h.Observer.Started(child.Pid, h.Command.Args) // here, for it is to be the first
	h.Post(
		machine.Event{
			Kind:     machine.EvStarted,
			Pid:      child.Pid,
			Pidfd:    child.Pidfd,
			InCgroup: child.InCgroup,
			Err:      child.NoCgroup,
		},
	)
	if h.ListenLate != nil {
		go func() {
			h.ListenLate()
			h.Post(machine.Event{Kind: machine.EvListening})
		}()
	}
	return child.Pid
}

// PassOn does nothing: the source of the signals passes them on by itself.
func (h *Direct) PassOn(int, machine.Rules) {}

// Latest does nothing: no process of finite outlives this one.
func (h *Direct) Latest(time.Duration, int, bool) {}

// Note is told of events before the machine is.
func (h *Direct) Note(ev *machine.Event) {
	if ev.Kind != machine.EvStarted {
		return
	}
	h.adopt(ev)
	h.byNumber.Store(h.lacks("pidfd"))
	pid, pidfd := ev.Pid, ev.Pidfd
	h.later = time.AfterFunc(lateDelay, func() { h.look(pid, pidfd) })
	if h.terminal != nil && !h.terminal.adopt(ev.Pid) {
		h.miss("foreground")
	}
}

// Do carries out an action. The error is that of a signal.
func (h *Direct) Do(a *machine.Action) error {
	switch a.Kind {
	case machine.ActForward:
		if !a.Signal.Passed {
			return h.signal(a.Target, a.Signal)
		}
	case machine.ActSend:
		return h.signal(a.Target, signals.Signal{Number: a.Sig})
	case machine.ActTerminate:
		return h.trees.signal(a.Sig, unix.SIGCONT)
	case machine.ActKillTree:
		h.trees.kill()
	case machine.ActLook:
		h.reaper.Again()
	case machine.ActSuspend:
		h.suspend()
	case machine.ActForeground:
		if h.terminal != nil {
			h.terminal.give()
		}
	default:
		h.do(a)
	}
	return nil
}

// lateDelay is how long after the start of the command some things are looked at that few commands
// are short enough to miss: to find the memory cgroup takes 0.03 ms. The source has a timer for the
// same moment, so nothing wakes for this.
const lateDelay = 10 * time.Millisecond

// errGone is why a signal is not sent to a command that was reaped, or that does not run yet.
var errGone = errors.New("the command is not running")

// signal is called for the command only between EvStarted and EvExited.
func (h *Direct) signal(target ending.Forward, sig signals.Signal) error {
	switch {
	case target == ending.ForwardAll:
		return h.trees.signal(sig.Number)
	case h.pid == 0:
		return errGone
	case target == ending.ForwardChild && sig.Number == unix.SIGKILL && h.lacks("subreaper"):
		h.killLast(h.killChild)
		return nil
	case target == ending.ForwardGroup:
		if done, err := h.signalGroup(sig); done {
			return err
		}
	}
	if h.byNumber.Load() {
		return h.Kernel.SendPID(h.pid, sig) // its own, since the reaper waits for the owner
	}
	return h.Kernel.Send(h.pidfd, sig, false)
}

// signalGroup signals the process group that the command has led since clone, if it is there still;
// one that the command has moved on to may be anybody's.
func (h *Direct) signalGroup(sig signals.Signal) (done bool, err error) {
	if !h.byNumber.Load() {
		switch err := h.Kernel.Send(h.pidfd, sig, true); {
		case errors.Is(err, unix.ESRCH):
			return false, nil
		case !errors.Is(err, unix.EINVAL): // before Linux 6.9
			return true, err
		}
		// Nobody is reaped until Unlock. If the command was not before, its number is its own until
		// then.
		h.reaper.Lock()
		defer h.reaper.Unlock()
		if errors.Is(h.Kernel.Send(h.pidfd, signals.Signal{}, false), unix.ESRCH) {
			return true, errGone
		}
	}
	if group, err := h.Kernel.Getpgid(h.pid); err != nil || group != h.pid {
		return false, nil
	}
	err = h.Kernel.Kill(-h.pid, sig.Number)
	return err != unix.ESRCH, wrapKill(err)
}

func wrapKill(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("kill: %w", err)
}

// killChild kills the command if it was not reaped.
func (h *Direct) killChild() {
	h.reaper.Lock()
	defer h.reaper.Unlock()
	if h.Kernel.IsChild(h.pid) { // and stays one until Unlock
		_ = h.Kernel.Kill(h.pid, unix.SIGKILL)
	}
}

// Identify looks up the sender's name, which may be another's by now if the sender is gone.
func (h *Direct) Identify(pid int) string {
	if pid <= 0 {
		return ""
	}
	if h.proc == nil {
		h.proc = h.Kernel.NewProc()
		h.procMounted = h.proc.Mounted()
	}
	if !h.procMounted {
		return ""
	}
	comm, _ := h.proc.Comm(pid)
	return comm
}

// WatchParent has sig sent to this process when its parent ends, and reports whether the parent is
// gone already. It is called on a thread that lives as long as the process: the attribute is the
// thread's.
func (h *Direct) WatchParent(sig unix.Signal) (gone bool, err error) {
	if err := nsutil.SetParentDeathSignal(sig); err != nil {
		return false, err
	}
	return unix.Getppid() != h.ParentPID, nil
}

// Gone reports whether the command is a zombie already.
func (h *Direct) Gone() bool {
	if h.pidfd >= 0 {
		return h.Kernel.Readable(h.pidfd)
	}
	return h.pid != 0 && h.reaper.HasEnded(h.pid)
}

// suspend stops finite's own process group, if a shell is there to resume it.
func (h *Direct) suspend() {
	if h.Role == nsutil.RoleInit || h.terminal == nil {
		return
	}
	if h.ListenLate != nil {
		// SIGCONT must be caught before a stop that only SIGCONT ends; done already, unless the
		// stop comes at once.
		h.ListenLate()
	}
	h.terminal.suspend()
}

// Close gives everything back: the terminal, descriptors, goroutines, the cgroup.
func (h *Direct) Close(nobodyLeft bool) error {
	h.reaper.Close()
	h.stop()
	if h.pidfd >= 0 {
		h.Kernel.Close(h.pidfd)
		h.pidfd = -1
	}
	if h.terminal != nil {
		h.terminal.close()
	}
	return h.removeCgroup(nobodyLeft)
}
