package inspect

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
)

// Process is what a [Snapshot] says of a process. What could not be read is zero.
type Process struct {
	PID     int    `json:"pid"`
	PPID    int    `json:"ppid"`
	UID     int    `json:"uid"` // the real one, as seen from this process's user namespace
	Comm    string `json:"comm"`
	State   string `json:"state"` // R, S, D, T, t, Z, X, I (proc_pid_stat(5))
	Threads int    `json:"threads,omitempty"`
	RSSKB   int64  `json:"rss_kb"`
	WChan   string `json:"wchan,omitempty"`  // the kernel function it sleeps in, where the kernel tells
	Tracer  int    `json:"tracer,omitempty"` // the PID of its tracer

	// CPU is the processor time, user and system, that all of its threads have used; Age is how
	// long ago it was made. Timed says that they are known: that is read last, with WChan, since it
	// may hang.
	CPU   time.Duration `json:"-"`
	Age   time.Duration `json:"-"`
	Timed bool          `json:"-"`
	CPUMS int64         `json:"cpu_ms,omitempty"`
	AgeMS int64         `json:"age_ms,omitempty"`

	Depth int `json:"-"` // 0 for who has no parent in the snapshot
}

// Snapshot is a description of a tree at a moment, parents before their children.
type Snapshot struct {
	At        time.Time `json:"at"`
	Processes []Process `json:"processes"`
	Left      int       `json:"left,omitempty"` // how many more there are: maxDescribed are described
	Cut       bool      `json:"cut,omitempty"`  // the time was over before everything was read
}

// maxDescribed bounds a snapshot.
const maxDescribed = 1024

// TakeSnapshot describes everything that descends from this process and whoever is in leaf, which
// may be nil; or, as PID 1, everything else in the PID namespace. It reads what takes no lock of
// the process that it is about, and then wchan and the times, which do; it returns after limit with
// what it has by then, whatever hangs.
func TakeSnapshot(role nsutil.Role, leaf *cgroup.Cgroup, limit time.Duration) (Snapshot, error) {
	return TakeSnapshotOf(linux{}, role, orNone(leaf), limit)
}

// TakeSnapshotOf is TakeSnapshot with a kernel that a test may simulate.
func TakeSnapshotOf(k Kernel, role nsutil.Role, leaf Leaf, limit time.Duration) (Snapshot, error) {
	if !collecting.CompareAndSwap(false, true) {
		return Snapshot{}, errCollecting
	}
	reader := procfs.NewLimited(k.NewProc, limit, limit, 1)
	reader.Over = func() { collecting.Store(false) }
	return takeSnapshot(k, newMembers(k, role, leaf), reader)
}

// collecting bounds what a process that hangs can keep: one thread and one descriptor.
var collecting atomic.Bool

var errCollecting = errors.New("the snapshot before it still waits for a process that hangs")

func takeSnapshot(k Kernel, m members, reader *procfs.Limited) (Snapshot, error) {
	defer reader.Close()
	s := Snapshot{At: time.Now()}
	in := newInspector(k, reader, m.self)
	some, left, err := in.describeMembers(m)
	if err != nil && err != errSilent {
		return s, err
	}
	for _, p := range deepLast(some) {
		in.readWChan(p)
		in.readTimes(p)
	}
	all := make([]Process, 0, len(some))
	for _, p := range some {
		all = append(all, p.Process)
	}
	s.Processes, s.Left, s.Cut = inOrder(all), left, err != nil || in.result.Incomplete
	return s, nil
}

// deepLast returns the same with those in uninterruptible sleep last: a process that keeps its
// reader is one of them.
func deepLast(all []*Inspected) []*Inspected {
	var first, last []*Inspected
	for _, p := range all {
		if p.State == "D" {
			last = append(last, p)
		} else {
			first = append(first, p)
		}
	}
	return append(first, last...)
}

func (p *Process) time(st *procfs.Stat) {
	if st.PPID != p.PPID && st.Comm != p.Comm {
		return // another one by now, that has its PID
	}
	p.CPU, p.Age, p.Timed = st.CPU(), st.Age(), true
	p.CPUMS, p.AgeMS = p.CPU.Milliseconds(), p.Age.Milliseconds()
}

func newProcess(pid int, status *procfs.Status) Process {
	return Process{
		PID: pid, PPID: status.PPID, UID: status.UID, Comm: status.Name, State: string(rune(status.State)),
		Threads: status.Threads, RSSKB: status.RSSKB, Tracer: status.TracerPID,
	}
}

// inOrder returns the processes with each behind its parent and the parent's earlier children, and
// sets their depths.
func inOrder(all []Process) []Process {
	at := make(map[int]int, len(all)) // index by PID
	for i := range all {
		at[all[i].PID] = i
	}
	children := make(map[int][]int)
	var stack []int // indices, the next one last
	for i := len(all) - 1; i >= 0; i-- {
		if parent, ok := at[all[i].PPID]; ok && parent != i {
			children[parent] = append(children[parent], i)
		} else {
			stack = append(stack, i)
		}
	}
	ordered := make([]Process, 0, len(all))
	for len(stack) > 0 {
		i := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		ordered = append(ordered, all[i])
		for _, child := range children[i] {
			all[child].Depth = all[i].Depth + 1
			stack = append(stack, child)
		}
	}
	return ordered // a circle, which is only there if a PID was given again meanwhile, is left out
}

// Table is the snapshot as text: a line with the titles, one for each process, and one more if that
// is not all.
func (s *Snapshot) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%7s %7s %6s %1s %3s %9s %9s %8s  %-20s %s\n",
		"PID", "PPID", "UID", "S", "THR", "CPU s", "AGE s", "RSS kB", "WCHAN", "COMM")
	for i := range s.Processes {
		p := &s.Processes[i]
		cpu, age, wchan := "-", "-", p.WChan
		if p.Timed {
			cpu, age = fmt.Sprintf("%.2f", p.CPU.Seconds()), fmt.Sprintf("%.2f", p.Age.Seconds())
		}
		if wchan == "" {
			wchan = "-"
		}
		fmt.Fprintf(&b, "%7d %7d %6d %1s %3d %9s %9s %8d  %-20s %s%s\n",
			p.PID, p.PPID, p.UID, p.State, p.Threads, cpu, age, p.RSSKB, text.Printable(wchan),
			strings.Repeat("  ", min(p.Depth, 20)), text.Printable(p.Comm))
	}
	if s.Left > 0 {
		fmt.Fprintf(&b, "and %d more\n", s.Left)
	}
	if s.Cut {
		b.WriteString("not everything was read in time\n")
	}
	return b.String()
}
