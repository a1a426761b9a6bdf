package simkernel

import (
	"fmt"
	"time"

	"github.com/finite-init/finite/reap"
)

// Left is a process that is there after a run.
type Left struct {
	PID      int
	Name     string
	State    byte
	Began    time.Duration
	Member   bool // of the tree
	Escaped  bool // nothing leads to it
	Descends bool // from finite
	Foreign  bool // finite may not signal it
	Deep     bool // in uninterruptible sleep
	Held     bool // a tracer has it
	Child    bool // of finite
	Unreaped bool // a zombie whose parent lives, and does not reap it
	Killed   bool // finite has sent SIGKILL, or has tried to
	ByFinite bool // stopped by finite
}

func (l Left) String() string {
	type plain Left
	return fmt.Sprintf("%+v", plain(l))
}

// Left lists who is there, strangers left out.
func (k *Kernel) Left() (all []Left) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pids {
		if p == nil || p == k.self || p.parent == k.outer && !p.inLeaf && !p.escaped {
			continue
		}
		all = append(all, Left{
			PID: p.pid, Name: p.name, State: p.state(), Began: p.began, Member: p.member, Escaped: p.escaped,
			Foreign: p.foreign, Deep: p.deep, Held: p.held, Descends: p.descends(), Child: p.parent == k.self,
			Unreaped: p.ended && p.parent != k.self, Killed: p.killed || p.tried, ByFinite: p.stopped && p.byFinite,
		})
	}
	return all
}

// descends reports whether finite finds a process by descent.
func (p *process) descends() bool {
	for ; p != nil; p = p.parent {
		if p == p.k.self {
			return true
		}
	}
	return false
}

// Fate is what has become of the command.
type Fate struct {
	Made, Ended, Killed bool // Killed: finite has sent it SIGKILL
	At                  time.Duration
	Change              reap.Change
}

// Fate tells of the command.
func (k *Kernel) Fate() Fate {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.command
	if p == nil {
		return Fate{}
	}
	return Fate{Made: true, Ended: p.ended, Killed: p.killed, At: p.endedAt, Change: p.change}
}

// OpenFiles returns how many files are open.
func (k *Kernel) OpenFiles() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.files)
}

// Reaped reports whether finite has no child.
func (k *Kernel) Reaped() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.self.children) == 0
}

// Hung reports whether the /proc of a process of the tree hangs, or has.
func (k *Kernel) Hung() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.all {
		if p.hangs {
			return true
		}
	}
	return false
}

// InitialWaitErrors is how many calls of waitid(2) fail.
func (k *Kernel) InitialWaitErrors() int { return k.waitErrors }

// WasFrozen reports whether the cgroup was frozen at any time.
func (k *Kernel) WasFrozen() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.wasFrozen
}
