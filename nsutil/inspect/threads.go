package inspect

import (
	"slices"
	"strconv"
	"time"

	"github.com/finite-init/finite/internal/procfs"
)

// lookTwice reads those who are in uninterruptible sleep again, a moment later.
func (in *inspector) lookTwice(tree []*Inspected) {
	waited := false
	for _, p := range tree {
		if p.State != "D" {
			continue
		}
		if !waited {
			time.Sleep(secondLook)
			waited = true
		}
		if again, ok := in.describe(p.PID); ok && again.PID != 0 && again.PPID == p.PPID {
			again.Depth = p.Depth
			*p = again
		}
	}
}

// readThreads looks for threads that keep a process.
func (in *inspector) readThreads(p *Inspected) {
	if p.Threads > 1 {
		p.StuckThreads = in.stuckThreads(p)
	}
}

// lookTwiceAtThreads keeps those that still are where they were a moment before.
func (in *inspector) lookTwiceAtThreads(tree []*Inspected) {
	waited := false
	for _, p := range tree {
		if len(p.StuckThreads) == 0 {
			continue
		}
		if !waited {
			time.Sleep(secondLook)
			waited = true
		}
		again := in.stuckThreads(p)
		p.StuckThreads = slices.DeleteFunc(p.StuckThreads, func(t StuckThread) bool {
			return !slices.Contains(again, t)
		})
	}
}

func (in *inspector) stuckThreads(p *Inspected) []StuckThread {
	pid, dead, room := p.PID, p.State == "Z", in.threads
	in.threads -= p.Threads
	type found struct {
		threads []StuckThread
		tracer  int
	}
	f, ok := procfs.Within(in.reader, func(proc *procfs.Proc) (f found) {
		tids, _ := proc.Numbers(strconv.Itoa(pid) + "/task")
		for i, tid := range tids {
			if tid == pid || i >= room {
				continue
			}
			b, err := proc.Read(pid, "task/"+strconv.Itoa(tid)+"/status")
			if err != nil {
				continue
			}
			status, err := procfs.ParseStatus(b)
			state := status.State
			held := state == 'D' || state == 't' || dead && !status.HasMemory && state != 'Z'
			if err == nil && held {
				t := StuckThread{TID: tid, Comm: status.Name, State: string(rune(state))}
				f.threads = append(f.threads, t)
				f.tracer = max(f.tracer, status.TracerPID)
			}
		}
		return f
	})
	in.result.Incomplete = in.result.Incomplete || !ok
	if p.Tracer == 0 {
		p.Tracer = f.tracer
	}
	return f.threads
}
