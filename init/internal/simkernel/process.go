package simkernel

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
)

// process is one process.
type process struct {
	k        *Kernel
	pid      int
	start    uint64
	began    time.Duration
	name     string
	parent   *process
	children []*process
	leader   *process // of its process group
	script   Script

	member  bool // of the tree: the command or somebody who descends from it
	escaped bool // no child of finite's any more, nor in the cgroup, though a member
	inLeaf  bool
	inits   bool // orphans come to it
	foreign bool // may not be signalled by finite

	deep    bool // in uninterruptible sleep
	hangs   bool // what may hang of it in /proc hangs
	stopped bool
	held    bool // a tracer has its zombie first
	ended   bool
	gone    bool // reaped
	change  reap.Change
	endedAt time.Duration

	note     reap.Code // of a stop or a continuation that was not waited for
	noteSig  unix.Signal
	pending  uint64
	backlog  []func()
	again    int  // how often it stops itself before it acts on a stop signal
	killed   bool // finite has sent SIGKILL
	tried    bool // finite has tried to
	byFinite bool // it is finite that has stopped it
}

func (p *process) String() string { return fmt.Sprintf("%s(%d)", p.name, p.pid) }

// runs reports whether the process executes anything.
func (p *process) runs() bool {
	return !p.ended && !p.stopped && !p.deep && !(p.k.frozen && p.inLeaf)
}

// state is that of /proc/PID/stat.
func (p *process) state() byte {
	switch {
	case p.ended:
		return 'Z'
	case p.deep:
		return 'D'
	case p.stopped:
		return 'T'
	}
	return 'S'
}

// alive counts processes that have not ended, without finite.
func (k *Kernel) alive() (n int) {
	for _, p := range k.pids {
		if p != nil && !p.ended && p != k.self {
			n++
		}
	}
	return n
}

// freePID returns a number that nobody has, 0 if there is none. A stranger is given the one that
// was freed last.
func (k *Kernel) freePID(again int) int {
	if again != 0 && k.pids[again] == nil {
		return again
	}
	for range maxPID {
		k.lastPID++
		if k.lastPID >= selfPID+freshPIDs {
			k.lastPID = selfPID + 1
		}
		if k.pids[k.lastPID] == nil {
			return k.lastPID
		}
	}
	for pid := selfPID + freshPIDs; pid < maxPID; pid++ {
		if k.pids[pid] == nil {
			return pid
		}
	}
	return 0
}

// fork makes a child that follows a script. It returns nil where the kernel refuses.
func (k *Kernel) fork(parent *process, name string, s Script) *process {
	pid := k.freePID(0)
	if pid == 0 || k.Faults.Limit > 0 && k.alive() >= k.Faults.Limit && parent != k.self {
		k.trace("%v cannot fork", parent)
		return nil
	}
	p := k.make(parent, pid, name, s)
	p.member = parent.member || parent == k.self
	p.inLeaf, p.leader, p.escaped = parent.inLeaf, parent.leader, parent.escaped
	k.trace("%v forks %v: %v", parent, p, &s)
	k.follow(p)
	return p
}

func (k *Kernel) make(parent *process, pid int, name string, s Script) *process {
	p := &process{
		k: k, pid: pid, start: k.tick(), began: k.Now(), name: name, parent: parent, script: s,
		inits: s.Subreaper, foreign: s.Foreign, again: s.StopsAgain,
	}
	parent.children = append(parent.children, p)
	k.pids[pid] = p
	k.all = append(k.all, p)
	return p
}

// stranger makes a process that is no part of the tree, with a number that was just freed.
func (k *Kernel) stranger(pid int) {
	if pid = k.freePID(pid); pid == 0 {
		return
	}
	p := k.make(k.outer, pid, "stranger", Script{Reaps: true})
	p.leader = p
	if k.Role == nsutil.RoleInit {
		p.member = true // it came in from outside
	}
	k.trace("stranger %d appears", pid)
	k.after(
		time.Duration(k.random.Int64N(int64(20*time.Millisecond))),
		p,
		func() { k.end(p, reap.CodeExited, 0) },
	)
}

// end ends a process.
func (k *Kernel) end(p *process, code reap.Code, status int) {
	if p.ended {
		return
	}
	k.trace("%v ends: code %d, status %d", p, code, status)
	p.ended, p.endedAt, p.stopped, p.backlog, p.note = true, k.Now(), false, nil, 0
	p.change = reap.Change{PID: p.pid, Code: code, Status: status}
	for _, child := range p.children {
		k.adopt(child, k.reaperOf(p))
	}
	p.children = nil
	if p.script.Held != 0 {
		p.held = true
		if p.script.Held > 0 {
			k.later(p.script.Held, func() { k.letGo(p) })
		}
	}
	k.ready(p)
	k.changed.Broadcast()
}

// letGo is the tracer's.
func (k *Kernel) letGo(p *process) {
	k.trace("%v is let go of", p)
	p.held = false
	k.ready(p)
	k.changed.Broadcast()
}

// ready has a zombie reaped where its parent does that at once.
func (k *Kernel) ready(p *process) {
	if p.held || p.parent == k.self || p.parent == nil {
		return
	}
	if p.parent.script.Reaps && (p.parent == k.outer || p.parent.runs()) {
		k.free(p)
	}
}

// reaperOf is who gets the children of a process that ends.
func (k *Kernel) reaperOf(p *process) *process {
	for q := p.parent; q != nil; q = q.parent {
		if q.inits && !q.ended {
			return q
		}
	}
	return k.outer
}

func (k *Kernel) adopt(child, parent *process) {
	child.parent = parent
	parent.children = append(parent.children, child)
	if parent == k.outer {
		k.escape(child)
	}
	if child.ended {
		k.ready(child)
	}
}

// escape notes that no descent from finite leads to a process any more.
func (k *Kernel) escape(p *process) {
	if p.inLeaf && k.Leaf || k.Role == nsutil.RoleInit {
		return
	}
	p.escaped = true
	for _, child := range p.children {
		k.escape(child)
	}
}

// free has a zombie reaped.
func (k *Kernel) free(p *process) {
	p.gone = true
	if i := slices.Index(p.parent.children, p); i >= 0 {
		p.parent.children = slices.Delete(p.parent.children, i, i+1)
	}
	k.pids[p.pid] = nil
	pid := p.pid
	if k.Faults.Strangers && p.member && k.chance(60) {
		k.later(time.Duration(k.random.IntN(20_000)), func() { k.stranger(pid) })
	}
}
