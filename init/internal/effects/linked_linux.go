//go:build amd64 || arm64

package effects

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// Linked carries out in a supervisor what the machine decides: the keeper clones, waits and passes
// signals on, and tells of it. What needs no parent, such as the kill of the tree, is done here.
// Its methods are the owner's, except where they say otherwise.
type Linked struct {
	base
	link  *keeper.Link
	pin   remotePin
	proc  *procfs.Proc
	left  sync.Once
	tried int  // how often the start was tried
	quiet bool // what IsQuiet says when the command is started
}

// NewLinked returns the effects of a supervisor.
func NewLinked(link *keeper.Link, o Options) *Linked {
	k := &Linked{link: link, proc: procfs.NewProc()}
	k.init(o, o.descriptors(), !link.Facts.NoSubreaper)
	k.pin = remotePin{link: link, held: make(chan struct{}, 1), over: o.Done}
	k.trees.pin = &k.pin
	k.trees.helpless = func() { k.tell(keeper.Message{Kind: keeper.KindByHeart, Value: int32(unix.SIGKILL)}) }
	return k
}

func (k *Linked) tell(m keeper.Message) { _ = k.link.Tell(m, -1) }

// Note is told of events before the machine is: the keeper remembers what begins an ending, or goes
// on with one.
func (k *Linked) Note(ev *machine.Event) {
	m := keeper.Message{Kind: keeper.KindFact}
	switch {
	case ev.Kind == machine.EvStarted:
		k.takeOver(ev)
		return
	case ev.Kind == machine.EvDeadline && !ev.Gone:
		m.Value = keeper.FactDeadline
	case ev.Kind == machine.EvLifeline:
		m.Value = keeper.FactLifeline
	default:
		return
	}
	k.tell(m)
}

// Latest announces when the run should be over, and with which status; less than 0: not known. A
// deadline was reached, or not.
func (k *Linked) Latest(d time.Duration, status int, reached bool) {
	m := keeper.Message{Kind: keeper.KindLatest, Value: int32(status)}
	if !reached {
		m.Killed = 1
	}
	if ms := d.Milliseconds(); ms > 0 && ms < 1<<31 {
		m.Count = int32(ms)
	}
	k.tell(m)
}

// takeOver adopts the command, and leaves what the caller had.
func (k *Linked) takeOver(ev *machine.Event) {
	k.adopt(ev)
	if k.lacks("pidfd") {
		k.pidfd = -1
	}
	_ = unix.Chdir("/")
	if k.link.Facts.Ended.Code != 0 {
		k.leaveCaller()
		return
	}
	pid, pidfd := ev.Pid, ev.Pidfd
	k.later = time.AfterFunc(keeper.QuietTime, func() {
		k.leaveCaller()
		k.look(pid, pidfd)
	})
}

// Do carries out an action. The error is that of a signal.
func (k *Linked) Do(a *machine.Action) error {
	switch a.Kind {
	case machine.ActForward:
		if !a.Signal.Passed {
			return k.signal(a.Target, a.Signal)
		}
	case machine.ActSend:
		return k.signal(a.Target, signals.Signal{Number: a.Sig})
	case machine.ActTerminate:
		k.tell(keeper.Message{Kind: keeper.KindLeftovers}) // before it is done
		if !k.byHeart(a.Sig, unix.SIGCONT) {
			return k.trees.signal(a.Sig, unix.SIGCONT)
		}
	case machine.ActKillTree:
		k.tell(keeper.Message{Kind: keeper.KindFact, Value: keeper.FactKilled})
		if !k.byHeart(unix.SIGKILL) {
			k.trees.kill()
		}
	case machine.ActRung:
		k.tell(keeper.Message{Kind: keeper.KindFact, Value: keeper.FactRung})
	case machine.ActStop: // which of the signals do is known here alone: SIGHUP, and rewritten ones
		k.tell(keeper.Message{Kind: keeper.KindFact, Value: keeper.FactStop, Signal: told(&a.Signal)})
	case machine.ActLook:
		k.tell(keeper.Message{Kind: keeper.KindLook})
	case machine.ActSuspend, machine.ActForeground: // the keeper and the front have seen to it
	default:
		k.do(a)
	}
	return nil
}

// WatchParent waits for the end of the process that has started finite, by the pidfd that was
// opened first thing.
func (k *Linked) WatchParent(sig unix.Signal) (gone bool, err error) {
	fd := int(k.link.Facts.ParentFD)
	if fd < 0 {
		return false, errors.New(
			"the parent cannot be watched: pidfd_open(2) was refused, or it is in another PID namespace",
		)
	}
	if sys.Readable(fd) {
		return true, nil
	}
	_ = unix.SetNonblock(fd, true)
	file, err := sys.NewFile(fd, "parent")
	if err != nil {
		return false, err
	}
	go func() {
		if file.Wait() == nil {
			k.Post(machine.ParentEnded(sig))
		}
	}()
	return false, nil
}

// PassOn tells the keeper and the front what they pass on without asking.
func (k *Linked) PassOn(_ int, rules machine.Rules) {
	m := keeper.Message{Kind: keeper.KindRules}
	for sig := unix.Signal(1); sig <= signals.RTMax; sig++ {
		rule := &m.Table[sig-1]
		switch to, keep := k.Rewrite.Apply(sig); {
		case rules.Set.Has(sig):
			*rule = uint8(sig)
		case rules.Rewritten.Has(sig) && keep:
			*rule = uint8(to)
		case !keep:
			*rule = keeper.RuleDrop
		}
	}
	if k.Forward == ending.ForwardGroup {
		m.Count = 1
	}
	if rules.Told {
		m.Value = 1
	}
	k.tell(m)
}

func (k *Linked) signal(target ending.Forward, sig signals.Signal) error {
	switch {
	case target == ending.ForwardAll && k.byHeart(sig.Number):
		return nil
	case target == ending.ForwardAll:
		return k.trees.signal(sig.Number)
	case k.pid == 0:
		return errGone
	case target == ending.ForwardChild && sig.Number == unix.SIGKILL && k.link.Facts.NoSubreaper:
		k.tell(keeper.Message{Kind: keeper.KindFact, Value: keeper.FactKilled}) // before anybody is stopped
		k.killLast(k.killChild)
		return nil
	case k.pidfd < 0:
		return signals.SendPID(k.pid, sig)
	case target == ending.ForwardGroup && k.leadsGroup():
		if err := signals.Send(k.pidfd, sig, true); !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ESRCH) {
			return err
		}
		k.pin.Lock()
		defer k.pin.Unlock()
		if signals.Send(k.pidfd, signals.Signal{}, false) == nil {
			return wrapKill(unix.Kill(-k.pid, sig.Number))
		}
	}
	return signals.Send(k.pidfd, sig, false)
}

// killChild kills the command if it was not reaped.
func (k *Linked) killChild() {
	if k.pidfd >= 0 {
		_ = signals.Send(k.pidfd, signals.Signal{Number: unix.SIGKILL}, false)
		return
	}
	k.pin.Lock()
	defer k.pin.Unlock()
	_ = unix.Kill(k.pid, unix.SIGKILL)
}

func (k *Linked) leadsGroup() bool {
	group, err := unix.Getpgid(k.pid)
	return err == nil && group == k.pid
}

// Identify looks up the sender's name, which may be another's by now if the sender is gone.
func (k *Linked) Identify(pid int) string {
	// The front has looked the name up in its own PID namespace.
	if pid <= 0 || k.link.Facts.Foreign || !k.proc.Mounted() {
		return ""
	}
	comm, _ := k.proc.Comm(pid)
	return comm
}

// Gone reports whether the command is a zombie already.
func (k *Linked) Gone() bool { return k.pidfd >= 0 && sys.Readable(k.pidfd) }

// byHeart leaves signals to the keeper where a subreaper has no /proc to find its descendants in.
func (k *Linked) byHeart(sigs ...unix.Signal) bool {
	if k.Role == nsutil.RoleInit || k.proc.Mounted() {
		return false
	}
	for _, sig := range sigs {
		k.tell(keeper.Message{Kind: keeper.KindByHeart, Value: int32(sig)})
	}
	return true
}

// Close gives everything back.
func (k *Linked) Close(nobodyLeft bool) error {
	k.stop()
	if k.link.Facts.Planned { // the planner removes what it has made
		return nil
	}
	return k.removeCgroup(nobodyLeft)
}
