package inspect

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
)

const (
	readLimit    = 500 * time.Millisecond // for a read, which takes microseconds
	inspectLimit = 5 * time.Second        // for everything
	maxLost      = 3                      // reads that hang, of what never should and then of what may
	maxInspected = 16384                  // processes
	maxThreads   = 16384                  // of all processes

	// After secondLook, who is in uninterruptible sleep is read again: most have left it.
	secondLook = 20 * time.Millisecond
)

// Errors of [Inspect].
var (
	errSelf   = errors.New("this is finite itself")
	errHidden = errors.New("it may not be read from here (hidepid)")
	errSilent = errors.New("/proc does not answer")
)

// Inspect looks at the process pid and its descendants or, if that is 0, at everybody that /proc
// shows; this process itself is left out. It needs no privilege; what may not be read is left out.
// It never hangs: every read has a time limit, and all of them together.
func Inspect(pid int) (*Inspection, error) {
	reader := procfs.NewLimited(procfs.NewProc, readLimit, inspectLimit, maxLost)
	return newInspector(linux{}, reader, os.Getpid()).inspect(pid)
}

type inspector struct {
	kernel  Kernel
	reader  *procfs.Limited
	self    int
	asked   int
	threads int                  // how many more may be read
	cgroups *cgroupReader        // nil: not made yet
	limits  map[string]*PIDLimit // by directory
	result  Inspection
}

func newInspector(k Kernel, reader *procfs.Limited, self int) *inspector {
	return &inspector{
		kernel: k, reader: reader, self: self, threads: maxThreads, limits: make(map[string]*PIDLimit),
	}
}

func (in *inspector) inspect(pid int) (*Inspection, error) {
	defer in.reader.Close()
	in.asked = pid
	in.result = Inspection{Schema: Schema, At: time.Now().UTC().Truncate(time.Millisecond), PID: pid}
	pids, err := in.list((*procfs.Proc).PIDs)
	if err != nil {
		return nil, err
	}
	slices.Sort(pids)
	in.result.HidePID, _ = procfs.Within(in.reader, hidePID)
	if err := in.lookFor(pids); err != nil {
		return nil, err
	}
	everybody := in.describeAll(pids)
	at := make(map[int]*Inspected, len(everybody))
	for i := range everybody {
		at[everybody[i].PID] = &everybody[i]
	}
	if pid != 0 && at[pid] == nil {
		return nil, in.whyNot()
	}
	tree := in.choose(everybody, at)
	in.lookTwice(tree)
	for _, p := range tree {
		in.readThreads(p)
	}
	in.lookTwiceAtThreads(tree)
	for _, p := range tree {
		in.readCgroup(p)
	}
	in.reader.Lost = 0
	for _, read := range []func(*Inspected){in.readWChan, in.readTimes, in.readStack} {
		for _, p := range tree {
			read(p)
		}
	}
	in.reader.Lost = 0
	in.relate(tree, at)
	in.judge(tree)
	in.result.Incomplete = in.result.Incomplete || in.reader.Late()
	return &in.result, nil
}

// list lists processes but this one.
func (in *inspector) list(pids func(*procfs.Proc) ([]int, error)) ([]int, error) {
	type list struct {
		pids []int
		err  error
	}
	l, ok := procfs.Within(in.reader, func(p *procfs.Proc) list {
		if !p.Mounted() {
			return list{nil, procfs.ErrNoProc}
		}
		found, err := pids(p)
		return list{found, err}
	})
	if !ok {
		return nil, errSilent
	}
	return without(l.pids, in.self), l.err
}

// lookFor says why the process that is asked for cannot be inspected.
func (in *inspector) lookFor(pids []int) error {
	switch {
	case in.asked == 0 || slices.Contains(pids, in.asked):
		return nil
	case in.asked == in.self:
		return errSelf
	}
	if of := in.processOf(in.asked); of != in.asked {
		return fmt.Errorf("it is a thread of process %d", of)
	}
	return in.whyNot()
}

// processOf returns the PID of the process that a thread is of: threads are not listed, but they
// are there. A tracer is one.
func (in *inspector) processOf(tid int) int {
	of, _ := procfs.Within(in.reader, func(p *procfs.Proc) int {
		status, _ := p.Status(tid)
		return status.TGID
	})
	if of == 0 {
		return tid
	}
	return of
}

// describeAll reads of each process what never hangs.
func (in *inspector) describeAll(pids []int) []Inspected {
	if len(pids) > maxInspected {
		at := slices.Index(pids, in.asked)
		in.result.Left = len(pids) - maxInspected
		if pids = pids[:maxInspected]; at >= maxInspected {
			pids[maxInspected-1] = in.asked
		}
	}
	all := make([]Inspected, 0, len(pids))
	for _, pid := range pids {
		p, ok := in.describe(pid)
		switch {
		case !ok:
			in.result.Incomplete = true
		case p.PID != 0:
			all = append(all, p)
		case in.kernel.Kill(pid, 0) != unix.ESRCH:
			in.result.Unreadable++
		}
	}
	return all
}

// describe returns what is there to be read; PID is 0 if nothing is. It returns false if that takes
// too long.
func (in *inspector) describe(pid int) (Inspected, bool) {
	return procfs.Within(in.reader, func(proc *procfs.Proc) (p Inspected) {
		status, err := proc.Status(pid)
		if err != nil {
			return p
		}
		p.Process = newProcess(pid, &status)
		p.NSpid, p.CoreDumping = status.NSpid, status.CoreDumping
		p.kernel, p.hasMemory = status.KernelThread, status.HasMemory
		p.Pending, p.Blocked = SignalNames(status.SigPnd|status.ShdPnd), SignalNames(status.SigBlk)
		p.Ignored, p.Caught = SignalNames(status.SigIgn), SignalNames(status.SigCgt)
		p.refused = in.kernel.Kill(pid, 0) == unix.EPERM
		return p
	})
}

// choose returns who is to be shown, in order.
func (in *inspector) choose(everybody []Inspected, at map[int]*Inspected) []*Inspected {
	wanted := func(*Inspected) bool { return true }
	if in.asked != 0 {
		children := make(map[int][]int)
		for i := range everybody {
			children[everybody[i].PPID] = append(children[everybody[i].PPID], everybody[i].PID)
		}
		inside := map[int]bool{in.asked: true}
		for next := []int{in.asked}; len(next) > 0; next = next[1:] {
			for _, child := range children[next[0]] {
				if !inside[child] { // what was read at different moments may go in a circle
					inside[child] = true
					next = append(next, child)
				}
			}
		}
		wanted = func(p *Inspected) bool { return inside[p.PID] }
	}
	var chosen []Process
	for i := range everybody {
		p := &everybody[i]
		switch {
		case !wanted(p):
		case p.kernel && p.State != "D" && p.PID != in.asked:
			in.result.KernelThreads++
		default:
			chosen = append(chosen, p.Process)
		}
	}
	var tree []*Inspected
	for _, p := range inOrder(chosen) {
		at[p.PID].Depth = p.Depth
		tree = append(tree, at[p.PID])
	}
	return tree
}

// relate sets what one process says of another.
func (in *inspector) relate(tree []*Inspected, at map[int]*Inspected) {
	for _, p := range tree {
		p.ParentComm = in.commOf(p.PPID, at)
		if parent := at[p.PPID]; parent != nil {
			p.parentState = parent.State[0]
			if parent.waitsFor == "" && p.State != "Z" {
				parent.waitsFor = fmt.Sprintf("%s (pid %d)", p.Comm, p.PID)
			}
		}
		if p.Tracer != 0 && at[p.Tracer] == nil {
			p.Tracer = in.processOf(p.Tracer)
		}
		p.TracerComm = in.commOf(p.Tracer, at)
	}
}

// commOf returns the name of a process, whether that is described or not.
func (in *inspector) commOf(pid int, at map[int]*Inspected) (comm string) {
	if p := at[pid]; p != nil {
		return p.Comm
	}
	if pid != 0 {
		comm, _ = procfs.Within(in.reader, func(proc *procfs.Proc) string {
			status, _ := proc.Status(pid)
			return status.Name
		})
	}
	return comm
}

// judge says what everything means.
func (in *inspector) judge(tree []*Inspected) {
	r := &in.result
	r.Processes = make([]Inspected, 0, len(tree))
	unreaped := make(map[int]int) // index by parent
	for _, p := range tree {
		p.level, p.Verdict = p.verdict()
		p.Stuck = p.level == stuck
		r.Processes = append(r.Processes, *p)
		if p.State != "Z" || p.Threads > 1 {
			continue
		}
		i, ok := unreaped[p.PPID]
		if !ok {
			i = len(r.Zombies)
			unreaped[p.PPID] = i
			r.Zombies = append(r.Zombies, Unreaped{Parent: p.PPID, Comm: p.ParentComm})
		}
		r.Zombies[i].PIDs = append(r.Zombies[i].PIDs, p.PID)
		for _, limit := range p.limits {
			limit.Zombies++
		}
	}
	r.PIDLimits = in.pidLimits()
}
