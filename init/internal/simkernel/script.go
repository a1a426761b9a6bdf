package simkernel

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/reap"
)

// Reaction is what a process does about a stop signal.
type Reaction uint8

// The reactions.
const (
	Dies Reaction = iota
	Ignores
	Exits       // with a status, after a while
	Forks       // and then exits
	StopsItself // again and again, and then exits
)

// Deed is one thing that a process does.
type Deed uint8

// The deeds.
const (
	Fork Deed = iota
	Daemonise
	Bomb
	Stop
	TerminalStop
	Sleep      // uninterruptibly, for some time
	SleepOn    // uninterruptibly, for ever
	Hang       // the same, in execve(2): its stat in /proc hangs
	LeaveLeaf  // it moves to another cgroup
	Emigrate   // a child is orphaned in another PID namespace
	FreezeLeaf // it freezes its own cgroup
	Setsid
	Crash
	OOM
	deeds // how many there are
)

var deedNames = [...]string{
	"fork", "daemonise", "bomb", "stop", "tstp", "sleep", "sleep on", "hang", "leave the cgroup", "emigrate",
	"freeze", "setsid", "crash", "oom",
}

func (d Deed) String() string { return deedNames[d] }

// Act is a deed at a time after the process was made.
type Act struct {
	At   time.Duration
	Deed Deed
	For  time.Duration
	Of   int
}

// Script is what a process does.
type Script struct {
	Depth  int
	Life   time.Duration // until it exits by itself; 0: it does not
	Status int
	Acts   []Act

	Stops         Reaction
	StopsAfter    time.Duration
	StopStatus    int
	StopsAgain    int
	CatchesOthers bool // other signals than TERM, INT and QUIT do nothing
	NoJobs        bool // SIGTSTP and the like do nothing

	Reaps     bool // it reaps its children at once
	Subreaper bool
	Foreign   bool
	Child     *Script       // what its children do; nil: that is drawn
	Held      time.Duration // that a tracer holds the zombie for; below 0: for ever
}

func (s *Script) String() string {
	return fmt.Sprintf("life %v status %d acts %v reaction %d after %v status %d again %d held %v"+
		" reaps %v subreaper %v foreign %v", s.Life, s.Status, s.Acts, s.Stops, s.StopsAfter, s.StopStatus,
		s.StopsAgain, s.Held, s.Reaps, s.Subreaper, s.Foreign)
}

func (s *Script) has(d Deed) bool {
	for _, a := range s.Acts {
		if a.Deed == d {
			return true
		}
	}
	return false
}

// Obeys reports whether a process ends soon after a stop signal, stopped or not, and what it ends
// with.
func (s *Script) Obeys() bool {
	return s.Stops != Ignores && !s.has(Sleep) && !s.has(SleepOn) && !s.has(Hang) && !s.has(FreezeLeaf)
}

// Upto draws a length of time, shorter ones as often as longer ones.
func Upto(r *rand.Rand, most time.Duration) time.Duration {
	shift := r.IntN(20)
	return max(time.Duration(r.Int64N(int64(most)+1)>>shift), 1)
}

// DrawScript draws what the command, or a descendant at a depth, does within a span of time. hard
// allows for what outlives SIGKILL.
func DrawScript(r *rand.Rand, depth int, span time.Duration, hard bool) Script {
	s := Script{Depth: depth, Status: r.IntN(4), Reaps: r.IntN(3) > 0, CatchesOthers: r.IntN(2) > 0}
	if r.IntN(3) > 0 {
		s.Life = Upto(r, span)
	}
	s.Stops, s.StopStatus, s.StopsAfter = Reaction(r.IntN(5)), r.IntN(100), Upto(r, span/8)
	s.StopsAgain, s.NoJobs = r.IntN(9), r.IntN(3) == 0
	s.Subreaper = r.IntN(12) == 0
	if hard && r.IntN(40) == 0 {
		s.Held = -1
	} else if r.IntN(20) == 0 {
		s.Held = Upto(r, span)
	}
	s.Foreign = hard && depth > 0 && r.IntN(30) == 0
	for n := r.IntN(4) - depth; n > 0; n-- {
		a := Act{At: Upto(r, span/2), Deed: Deed(r.IntN(int(deeds))), For: Upto(r, span), Of: 1 + r.IntN(8)}
		switch a.Deed {
		case SleepOn, Hang:
			if !hard || a.Deed == Hang && r.IntN(3) > 0 {
				a.Deed = Fork
			}
		case Emigrate, Crash, OOM, FreezeLeaf:
			if r.IntN(3) > 0 {
				a.Deed = Daemonise
			}
		}
		s.Acts = append(s.Acts, a)
	}
	return s
}

// child is the script of a child that is made now.
func (k *Kernel) child(p *process) Script {
	if p.script.Child != nil {
		return *p.script.Child
	}
	return DrawScript(k.random, p.script.Depth+1, childSpan, k.Hard)
}

const childSpan = 4 * time.Second

// follow has a process begin its script.
func (k *Kernel) follow(p *process) {
	s := &p.script
	if s.Life > 0 {
		k.after(s.Life, p, func() { k.end(p, reap.CodeExited, s.Status) })
	}
	for _, a := range s.Acts {
		k.after(a.At, p, func() { k.do(p, a) })
	}
}

func (k *Kernel) do(p *process, a Act) {
	k.trace("%v: %v", p, a.Deed)
	k.Deeds[a.Deed]++
	switch a.Deed {
	case Fork:
		k.fork(p, "child", k.child(p))
	case Daemonise:
		between := k.fork(p, "between", Script{Depth: p.script.Depth + 1, Life: time.Hour})
		if between == nil {
			return
		}
		k.after(time.Duration(k.random.IntN(100_000)+1), between, func() {
			if d := k.fork(between, "daemon", k.child(between)); d != nil {
				d.leader = d
			}
			k.end(between, reap.CodeExited, 0)
		})
	case Bomb:
		k.bomb(p, a.Of*3, time.Duration(k.random.IntN(300_000)+20_000))
	case Stop:
		k.stop(p, unix.SIGSTOP, false)
	case TerminalStop:
		k.stop(p, unix.SIGTSTP, false)
	case Sleep:
		k.sleep(p, a.For)
	case SleepOn:
		p.deep = true
	case Hang:
		p.deep, p.hangs = true, true
	case Setsid:
		p.leader = p
	case Crash:
		k.end(p, reap.CodeDumped, int(unix.SIGSEGV))
	case OOM:
		k.ooms++
		k.end(p, reap.CodeKilled, int(unix.SIGKILL))
	case LeaveLeaf, Emigrate, FreezeLeaf:
		k.doInLeaf(p, a)
	}
}

// doInLeaf is what has to do with the cgroup.
func (k *Kernel) doInLeaf(p *process, a Act) {
	switch {
	case a.Deed == LeaveLeaf:
		p.inLeaf = false
		if !p.descends() {
			k.escape(p)
		}
	case a.Deed == FreezeLeaf && k.Leaf && p.inLeaf:
		k.frozen, k.wasFrozen = true, true
	case a.Deed == Emigrate && k.Leaf && p.inLeaf && !k.frozen:
		c := k.fork(p, "emigrant", k.child(p))
		if c == nil {
			return
		}
		p.children = p.children[:len(p.children)-1]
		k.adopt(c, k.outer)
	}
}

func (k *Kernel) sleep(p *process, d time.Duration) {
	p.deep = true
	k.later(d, func() {
		if !p.ended {
			p.deep = false
			k.trace("%v wakes up", p)
			k.resume(p)
		}
	})
}

// bomb forks a line of descent, in which each lives just long enough to fork the next.
func (k *Kernel) bomb(p *process, left int, every time.Duration) {
	if left == 0 {
		return
	}
	c := k.fork(p, "bomb", Script{Depth: 9, Stops: Ignores, Life: every * 3, Reaps: true})
	if c == nil {
		return
	}
	k.after(every, c, func() { k.bomb(c, left-1, every) })
}
