package simkernel

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
)

// Faults are what the kernel refuses, and what is slow.
type Faults struct {
	NoSubreaper bool
	NoPidfd     bool // the start gives none
	PidfdOpen   unix.Errno
	PidfdSend   unix.Errno
	NoGroupSend bool // before Linux 6.9
	NoProc      bool // /proc is not mounted
	NoChildren  bool // no CONFIG_PROC_CHILDREN
	NoFiles     bool // no list of children can be opened, nor a pidfd be copied
	WaitErrors  int  // so many calls of waitid(2) fail
	LeafKill    unix.Errno
	NoClone     bool // the command does not get into its cgroup
	SlowWait    time.Duration
	SlowProc    time.Duration
	StartDelay  time.Duration
	StartErr    error
	Limit       int // of processes; fork(2) fails beyond
	Strangers   bool
}

// Options are what a world is like.
type Options struct {
	Seed    uint64
	Role    nsutil.Role
	Leaf    bool // the command has a cgroup
	Hard    bool // somebody may outlive SIGKILL
	Faults  Faults
	Command Script
	Trace   func(line string) // nil: nothing is traced
}

const (
	maxPID  = 400
	selfPID = 100 // finite's number, in either role
	// freshPIDs is how many numbers are given before one is given again, unless it is to be a
	// stranger's.
	freshPIDs = 40
)

// Kernel is a simulated kernel, and the processes in it. It is what [effects.Kernel] and
// [reap.Kernel] are.
//
// [effects.Kernel]: https://pkg.go.dev/github.com/finite-init/finite/init/internal/effects
type Kernel struct {
	Options
	mu      sync.Mutex // never held while anybody waits
	changed *sync.Cond // a child, a pidfd or the cgroup has changed
	random  *rand.Rand
	begin   time.Time
	closed  bool

	pinned   bool
	unpinned *sync.Cond

	pids      [maxPID]*process
	lastPID   int
	ticks     uint64 // start times
	all       []*process
	self      *process
	outer     *process // of whatever is no part of the tree
	command   *process
	frozen    bool
	wasFrozen bool
	ooms      int

	waitErrors int // that there are to be, in all

	files map[int]*file
	fd    int

	Deeds      [deeds]int // how often each was done
	Sent       []Sent     // signals that finite has sent
	Violations []string   // that the kernel itself has seen
}

// Sent is a signal that finite has sent to a process.
type Sent struct {
	At      time.Duration
	PID     int
	Signal  unix.Signal
	Command bool // the command, which has not ended
}

// file is an open file: a pidfd, or the list of children.
type file struct {
	of       *process
	position int // in the list of children; -1: it is a pidfd
}

// New begins a world. It is called in a bubble.
func New(o Options) *Kernel {
	k := &Kernel{
		Options: o, random: rand.New(rand.NewPCG(o.Seed, 0x66696e697465)), begin: time.Now(),
		files: make(map[int]*file), fd: 1000, lastPID: selfPID,
		waitErrors: o.Faults.WaitErrors,
	}
	k.changed, k.unpinned = sync.NewCond(&k.mu), sync.NewCond(&k.mu)
	k.outer = &process{k: k, pid: 0, name: "outer", script: Script{Reaps: true}}
	k.self = &process{
		k: k, pid: selfPID, name: "finite", parent: k.outer, start: k.tick(), inits: true,
	}
	k.self.inits = o.Role == nsutil.RoleInit
	k.outer.children = []*process{k.self}
	k.self.leader = k.self
	k.pids[selfPID] = k.self
	return k
}

func (k *Kernel) tick() uint64 {
	k.ticks++
	return k.ticks
}

// Shut ends the world: whoever waits in it comes back.
func (k *Kernel) Shut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.changed.Broadcast()
	k.unpinned.Broadcast()
}

func (k *Kernel) trace(format string, args ...any) {
	if k.Trace != nil {
		k.Trace(fmt.Sprintf(format, args...))
	}
}

func (k *Kernel) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	k.Violations = append(k.Violations, text)
	k.trace("VIOLATION %s", text)
}

// Now is how long the world has been there.
func (k *Kernel) Now() time.Duration { return time.Since(k.begin) }

// call is the time that a call takes. Processes act meanwhile.
func (k *Kernel) call(most time.Duration) {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return
	}
	d := time.Duration(k.random.Int64N(int64(most))) + 1
	switch k.random.IntN(16) {
	case 0:
		d *= 16 // others have the processor
	case 1, 2, 3, 4:
		d /= 16
	}
	k.mu.Unlock()
	time.Sleep(d)
}

// What calls take, at most.
const (
	shortCall = 4 * time.Microsecond
	readCall  = 30 * time.Microsecond
	waitCall  = 100 * time.Microsecond
)

// jitter is what is added to times, so that few things happen at the same moment: the order of
// those is the runtime's, and another one each time.
func (k *Kernel) jitter() time.Duration { return time.Duration(k.random.IntN(5000)) }

// after has something done by a process a little later: when it runs, if it does not run then, and
// never once it has ended.
func (k *Kernel) after(d time.Duration, p *process, what func()) {
	time.AfterFunc(d+k.jitter(), func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.act(p, what)
	})
}

func (k *Kernel) act(p *process, what func()) {
	switch {
	case p.ended || k.closed:
	case p.runs():
		what()
	default:
		p.backlog = append(p.backlog, what)
	}
}

// later is after for what is not done by a process.
func (k *Kernel) later(d time.Duration, what func()) {
	time.AfterFunc(d+k.jitter(), func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.closed {
			what()
		}
	})
}

// chance is true so often of a hundred times.
func (k *Kernel) chance(percent int) bool { return k.random.IntN(100) < percent }
