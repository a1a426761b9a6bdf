package effects

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Options are what effects know of a run.
type Options struct {
	Command  *spawn.Command // nil: there is none (a pause)
	Role     nsutil.Role
	NoCgroup error               // why the command has no cgroup of its own, though it should
	Post     func(machine.Event) // hands an event to the owner
	Done     <-chan struct{}

	// Kernel and Leaf are what a test simulates; nil: this machine's kernel, and Command.Cgroup.
	Kernel Kernel
	Leaf   Leaf

	Observer      Observer // never nil
	TellsChildren bool     // the observer wants to hear of each
	Threads       int      // that what is written may keep
	Descriptors   int      // that what is written needs

	// Of a process that clones by itself.
	ListenLate func() // called in a goroutine once the command was started; or nil
	ParentPID  int    // as it was at the start

	// Of a supervisor.
	Forward   ending.Forward
	Rewrite   signals.Rewrite
	Enforces  bool          // there is an ending to enforce
	Timeout   time.Duration // 0: none
	KillAfter time.Duration // of the ending at the timeout
	Lifeline  []int
	Records   []string             // where they go: a path, or fd:N
	Own       func(kv string) bool // a variable of the environment that the command does not see
	IsQuiet   func() bool          // whether there is nothing to say of a command that soon exits by itself
}

// cgroup is the command's cgroup; nil: it has none of its own.
func (o *Options) cgroup() *cgroup.Cgroup {
	if o.Command == nil {
		return nil
	}
	return o.Command.Cgroup
}

// HasCgroup reports whether the command has a cgroup of its own.
func (o *Options) HasCgroup() bool { return o.leaf() != nil }

// kernel is who is asked.
func (o *Options) kernel() Kernel {
	if o.Kernel == nil {
		return theLinux
	}
	return o.Kernel
}

// leaf is the command's cgroup; nil: it has none of its own.
func (o *Options) leaf() Leaf {
	if o.Leaf != nil || o.cgroup() == nil {
		return o.Leaf
	}
	return o.cgroup()
}

// descriptors is how many are needed after the start.
func (o *Options) descriptors() int { return LaterDescriptors + o.Descriptors }

// Observer hears of what happens to processes as soon as it does, from any goroutine.
type Observer interface {
	Started(pid int, args []string)
	Zombie(event string, c *reap.Change) // a child has ended, and can still be looked at
	// Ended tells of a child with a name that was started at a time, in clock ticks after the boot;
	// 0: neither is known.
	Ended(event string, c *reap.Change, name string, start int64)
	Stopped(c *reap.Change) // or continued
}

// base is what both kinds of effects have.
type base struct {
	Options
	trees    treeWorker
	held     heldWatch
	oom      oomWatch
	later    *time.Timer // for what is done a little later
	lastKill *time.Timer // of the command, where it is to be killed last
	busy     bool        // the kill of the tree did not come back in time
	missing  []string    // what finite has to do without

	pid, pidfd int // the command, once adopted; pidfd is -1 where there is none
}

// init takes over the options. spare is how many descriptors others need more than what only helps.
func (b *base) init(o Options, spare int, subreaper bool) {
	o.Kernel = o.kernel()
	b.Options, b.pidfd = o, -1
	_ = procfs.Hold() // whoever needs it hears of the error
	b.held.kernel, b.held.post, b.held.spare = o.Kernel, o.Post, spare
	b.oom.kernel, b.oom.spare = o.Kernel, spare
	b.trees = treeWorker{
		kernel: o.Kernel, role: o.Role, leaf: b.leaf(), post: o.Post, stopKill: make(chan struct{}),
	}
	if !subreaper {
		b.miss("subreaper")
	}
	if o.NoCgroup != nil {
		b.miss("cgroup")
	}
}

func (b *base) miss(what string) {
	if !b.lacks(what) {
		b.missing = append(b.missing, what)
	}
}

func (b *base) lacks(what string) bool { return slices.Contains(b.missing, what) }

// Without lists what finite has to do without.
func (b *base) Without() []string { return b.missing }

// adopt takes over the command that has started.
func (b *base) adopt(ev *machine.Event) {
	b.pid, b.pidfd = ev.Pid, ev.Pidfd
	if b.HasCgroup() && !ev.InCgroup {
		b.miss("cgroup")
	}
	// The signal 0 only asks (kill(2)).
	if b.pidfd < 0 || refused(b.Kernel.Send(b.pidfd, signals.Signal{}, false)) {
		b.miss("pidfd")
	}
}

// look watches for what few commands are short enough to miss. It may be called by any goroutine.
func (b *base) look(pid, pidfd int) {
	b.oom.begin()
	b.held.watch(pid, pidfd)
}

// Empty reports whether no process is left: as PID 1 in the PID namespace, otherwise in the
// command's cgroup. Such a process need not be a child.
func (b *base) Empty() bool {
	if b.Role == nsutil.RoleInit {
		return b.Kernel.Kill(-1, 0) == unix.ESRCH // who may not be signalled counts as somebody
	}
	return !b.HasCgroup() || cgroupIsEmpty(b.leaf())
}

// do carries out what needs no parent.
func (b *base) do(a *machine.Action) {
	switch a.Kind {
	case machine.ActThaw:
		b.trees.thaw()
	case machine.ActDump:
		b.dump()
	case machine.ActSurvey:
		b.trees.survey()
	}
}

// OOMKills returns how many processes the kernel has ended for want of memory since it was called
// last, or since the start. Where nothing was counted yet when SIGKILL ended the command, it is
// since the cgroup was made: ever.
func (b *base) OOMKills(killed bool) (n int, ever bool) {
	if killed && !b.oom.counts() {
		counter, n := OpenOOMCounter()
		counter.Close()
		return n, true
	}
	return b.oom.more(), false
}

func (b *base) dump() {
	go func() {
		s, err := inspect.TakeSnapshotOf(b.Kernel, b.Role, b.leaf(), machine.DumpLimit)
		b.Post(machine.Event{Kind: machine.EvDumped, Snapshot: s, Err: err})
	}()
}

// stop ends everything that was begun and the kill of the tree.
func (b *base) stop() {
	b.busy = !b.trees.close()
	for _, t := range []*time.Timer{b.later, b.lastKill} {
		if t != nil {
			t.Stop()
		}
	}
	b.held.close()
	b.oom.close()
}

// removeCgroup removes the command's cgroup. Where no process is left, that may take a moment.
func (b *base) removeCgroup(nobodyLeft bool) error {
	if !b.HasCgroup() {
		return nil
	}
	if b.busy {
		return errBusy
	}
	limit := time.Duration(0)
	if nobodyLeft {
		limit = RemoveLimit
	}
	return b.leaf().Remove(limit)
}

// errBusy is why a cgroup is left to the next finite beside it, which removes what is nobody's.
var errBusy = errors.New("cannot remove the cgroup: the kill of the tree does not come back")

// RemoveLimit is how long it may take until an empty cgroup can be removed.
const RemoveLimit = time.Second

// cgroupIsEmpty reports whether a cgroup has no process. A process that was reaped leaves its
// cgroup by itself, on its last processor; and the owner does not wait for what may take longer.
func cgroupIsEmpty(leaf Leaf) bool {
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

// killLast has the command killed by kill after its descendants, where this process gets no
// orphans: with the command gone they would be another process's children, and not be found. If the
// walk over the tree does not come to an end (a /proc that hangs), the command is killed all the
// same.
func (b *base) killLast(kill func()) {
	b.trees.kill()
	b.lastKill = time.AfterFunc(lateKill, kill)
}

// lateKill is how long the kill of a tree may take to come to the command.
const lateKill = 250 * time.Millisecond

// refused reports whether a system call was not there, or not allowed.
func refused(err error) bool { return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) }
