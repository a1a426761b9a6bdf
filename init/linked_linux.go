//go:build amd64 || arm64

package pid1

import (
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/signals"
)

// linked is the [kernel] of a supervisor: the keeper clones, waits and passes signals on, and tells
// of it. What needs no parent, such as the kill of the tree, is done here. Its methods are the
// owner's, except where they say otherwise.
type linked struct {
	link     *keeper.Link
	cfg      *Config
	role     nsutil.Role
	post     func(event)
	done     <-chan struct{}
	trees    treeWorker
	pin      remotePin
	held     heldWatch
	oom      oomWatch
	late     *time.Timer
	lastKill *time.Timer // of the command, where it is to be killed last
	proc     *procfs.Proc
	left     sync.Once
	tried    int         // how often the start was tried
	isQuiet  func() bool // see [runner.isQuiet]
	quiet    bool        // what that says when the command is started

	pid, pidfd int
	missing    []string
	events     *eventLog
}

// tellChild tells of a child that is about to be reaped, or was.
func (k *linked) tellChild(name string, m *keeper.Message) {
	c := change(m.Change)
	k.events.ended(name, &c, unix.ByteSliceToString(m.Signal.Name[:]), m.Times[0])
}

func (k *linked) init(cfg *Config, role nsutil.Role, post func(event), done <-chan struct{}) {
	k.cfg, k.role, k.post, k.done, k.pidfd, k.proc = cfg, role, post, done, -1, procfs.NewProc()
	k.held.post, k.held.spare, k.oom.spare = post, cfg.descriptors(), cfg.descriptors()
	k.pin = remotePin{link: k.link, held: make(chan struct{}, 1), over: done}
	k.trees = treeWorker{role: role, pin: &k.pin, leaf: cfg.leaf, post: post, stopKill: make(chan struct{})}
	k.trees.helpless = func() { k.tell(keeper.Message{Kind: keeper.KindByHeart, Value: int32(unix.SIGKILL)}) }
	if k.link.Facts.NoSubreaper {
		k.miss("subreaper")
	}
	if cfg.noLeaf != nil {
		k.miss("cgroup")
	}
}

func (k *linked) miss(what string) {
	if !slices.Contains(k.missing, what) {
		k.missing = append(k.missing, what)
	}
}

func (k *linked) tell(m keeper.Message) { _ = k.link.Tell(m, -1) }

// listen passes on what the keeper says. It is called once, in a goroutine of its own.
func (k *linked) listen() {
	for {
		m, fd, err := k.link.Hear()
		if err != nil {
			k.post(event{kind: evKeeperGone})
			return
		}
		switch m.Kind {
		case keeper.KindAsk:
			k.tell(keeper.Message{Kind: keeper.KindAlive})
		case keeper.KindStarted:
			k.events.add(runEvent{Event: "started", PID: int(m.Value), Command: k.cfg.Args}) // here, for it is to be the first
			k.post(event{kind: evStarted, pid: int(m.Value), pidfd: fd, inLeaf: m.Count&keeper.StartedInCgroup != 0, job: m.Count&keeper.StartedInGroup != 0})
		case keeper.KindNotStarted:
			k.notStarted(unix.Errno(m.Value), m.Count)
		case keeper.KindSignalled:
			s := m.Signal
			sig := arrived(&s)
			sig.Passed = m.Value != 0
			k.post(event{kind: evSignal, signal: sig})
		case keeper.KindChild:
			k.tellChild("reaped", &m)
		case keeper.KindExited:
			k.tellChild("exited", &m)
			if k.link.Facts.OlderCount > 0 && k.role == nsutil.RoleInit { // one of those may read until the end of what is written there
				_ = unix.Dup3(unix.Stderr, k.link.Stderr, unix.O_CLOEXEC)
			}
			k.post(event{kind: evExited, change: change(m.Change)})
		case keeper.KindChanged:
			c := change(m.Change)
			k.events.stopped(&c)
			k.post(event{kind: evStopped, change: c})
		case keeper.KindReaped:
			k.post(event{kind: evReaped, count: int(m.Count), killed: int(m.Killed)})
		case keeper.KindRemaining: // they may read until the end of what the caller had open
			k.leaveCaller()
			k.post(event{kind: evRemaining})
		case keeper.KindEmpty:
			k.post(event{kind: evEmpty})
		case keeper.KindFrontGone:
			k.post(event{kind: evFrontGone})
		case keeper.KindHeld:
			k.pin.answered()
		}
	}
}

func (k *linked) noteFact(ev event) {
	m := keeper.Message{Kind: keeper.KindFact}
	switch {
	case ev.kind == evDeadline:
		m.Value = keeper.FactDeadline
	case ev.kind == evLifeline:
		m.Value = keeper.FactLifeline
	case ev.kind == evTimer && ev.timer == timerGrace:
		m.Value = keeper.FactRung
	default:
		return
	}
	k.tell(m)
}

func (k *linked) latest(d time.Duration, status int, reached bool) {
	m := keeper.Message{Kind: keeper.KindLatest, Value: int32(status)}
	if !reached {
		m.Killed = 1
	}
	if ms := d.Milliseconds(); ms > 0 && ms < 1<<31 {
		m.Count = int32(ms)
	}
	k.tell(m)
}

func (k *linked) alarm(d time.Duration, fire func()) clock { return newTimeout(d, fire) }

func (k *linked) adopt(pid, pidfd int, inLeaf bool) {
	k.pid, k.pidfd = pid, pidfd
	if k.cfg.leaf != nil && !inLeaf {
		k.miss("cgroup")
	}
	if pidfd < 0 || refused(signals.Send(pidfd, signals.Signal{}, false)) {
		k.miss("pidfd")
		k.pidfd = -1
	}
	_ = unix.Chdir("/")
	if k.link.Facts.Ended.Code != 0 {
		k.leaveCaller()
		return
	}
	k.late = time.AfterFunc(keeper.QuietTime, func() {
		k.leaveCaller()
		k.oom.begin()
		k.held.watch(pid, pidfd)
	})
}

// watchParent waits for the end of the process that has started finite, by the pidfd that was
// opened first thing.
func (k *linked) watchParent(sig unix.Signal) (gone bool, err error) {
	fd := int(k.link.Facts.ParentFD)
	if fd < 0 {
		return false, errors.New("the parent cannot be watched: pidfd_open(2) was refused, or it is in another PID namespace")
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
			k.post(event{kind: evSignal, signal: signals.Signal{Number: sig, Sender: signals.Sender{Known: true, Kernel: true}}})
		}
	}()
	return false, nil
}

// passOn tells the keeper and the front what they pass on without asking.
func (k *linked) passOn(_ int, rules passRules) {
	m := keeper.Message{Kind: keeper.KindRules}
	for sig := unix.Signal(1); sig <= signals.RTMax; sig++ {
		rule := &m.Table[sig-1]
		switch to, keep := k.cfg.Rewrite.Apply(sig); {
		case rules.set.Has(sig):
			*rule = uint8(sig)
		case rules.rewritten.Has(sig) && keep:
			*rule = uint8(to)
		case !keep:
			*rule = keeper.RuleDrop
		}
	}
	if k.cfg.Forward == ForwardGroup {
		m.Count = 1
	}
	if rules.told {
		m.Value = 1
	}
	k.tell(m)
}

func (k *linked) signal(target Forward, sig signals.Signal) error {
	switch {
	case target == ForwardAll && k.byHeart(sig.Number):
		return nil
	case target == ForwardAll:
		return k.trees.signal(sig.Number)
	case k.pid == 0:
		return errGone
	case target == ForwardChild && sig.Number == unix.SIGKILL && k.link.Facts.NoSubreaper:
		k.killLast()
		return nil
	case k.pidfd < 0:
		return signals.SendPID(k.pid, sig)
	case target == ForwardGroup && k.leadsGroup():
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

// killLast has the command killed after everybody below it (see [host.killLast]).
func (k *linked) killLast() {
	k.tell(keeper.Message{Kind: keeper.KindFact, Value: keeper.FactKilled}) // before anybody is stopped
	k.trees.kill()
	k.lastKill = time.AfterFunc(lateKill, func() {
		if k.pidfd >= 0 {
			_ = signals.Send(k.pidfd, signals.Signal{Number: unix.SIGKILL}, false)
			return
		}
		k.pin.Lock()
		defer k.pin.Unlock()
		_ = unix.Kill(k.pid, unix.SIGKILL)
	})
}

func (k *linked) leadsGroup() bool {
	group, err := unix.Getpgid(k.pid)
	return err == nil && group == k.pid
}

func (k *linked) identify(pid int) string {
	if pid <= 0 || k.link.Facts.Foreign || !k.proc.Mounted() { // the front has looked it up where that is the number of somebody
		return ""
	}
	comm, _ := k.proc.Comm(pid)
	return comm
}

func (k *linked) gone() bool { return k.pidfd >= 0 && sys.Readable(k.pidfd) }

func (k *linked) terminate(sig unix.Signal) {
	k.tell(keeper.Message{Kind: keeper.KindLeftovers}) // before it is done
	if !k.byHeart(sig, unix.SIGCONT) {
		_ = k.trees.signal(sig, unix.SIGCONT)
	}
}

func (k *linked) killTree() {
	k.tell(keeper.Message{Kind: keeper.KindFact, Value: keeper.FactKilled})
	if !k.byHeart(unix.SIGKILL) {
		k.trees.kill()
	}
}

// byHeart leaves signals to the keeper where a subreaper has no /proc to find its descendants in.
func (k *linked) byHeart(sigs ...unix.Signal) bool {
	if k.role == nsutil.RoleInit || k.proc.Mounted() {
		return false
	}
	for _, sig := range sigs {
		k.tell(keeper.Message{Kind: keeper.KindByHeart, Value: int32(sig)})
	}
	return true
}

func (k *linked) empty() bool {
	if k.role == nsutil.RoleInit {
		return nsutil.NamespaceEmpty()
	}
	return k.cfg.leaf == nil || leafIsEmpty(k.cfg.leaf)
}

func (k *linked) oomKills() int { return k.oom.more() }

func (k *linked) look() { k.tell(keeper.Message{Kind: keeper.KindLook}) }

func (k *linked) suspend() {} // the keeper and the front have seen to it

func (k *linked) foreground() {}

func (k *linked) thaw() { k.trees.thaw(k.cfg.leaf) }

func (k *linked) dump() {
	go func() {
		s, err := inspect.TakeSnapshot(k.role, k.cfg.leaf, dumpLimit)
		k.post(event{kind: evDumped, snapshot: s, err: err})
	}()
}

func (k *linked) survey() { k.trees.survey() }

func (k *linked) without() []string { return k.missing }

func (k *linked) close(nobodyLeft bool) error {
	k.trees.close()
	k.held.close()
	for _, t := range []*time.Timer{k.late, k.lastKill} {
		if t != nil {
			t.Stop()
		}
	}
	k.oom.close()
	if k.cfg.leaf == nil || k.link.Facts.Planned { // the planner removes what it has made
		return nil
	}
	limit := time.Duration(0)
	if nobodyLeft {
		limit = removeLimit
	}
	return k.cfg.leaf.Remove(limit)
}
