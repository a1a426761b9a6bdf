package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
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

	stack    []string // its kernel stack, if the collector was to read it
	frozenBy string   // the v1 cgroup that keeps SIGKILL from it; the same
	init     bool     // it is the init of a PID namespace below this one

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
// what it has by then, whatever hangs. Reading goes on in a goroutine of its own, which then ends
// as soon as it can.
func TakeSnapshot(role nsutil.Role, leaf *cgroup.Cgroup, limit time.Duration) (Snapshot, error) {
	if !collecting.CompareAndSwap(false, true) {
		return Snapshot{}, errCollecting
	}
	return takeSnapshot(&collector{role: role, leaf: leaf, proc: procfs.NewProc(), root: nsutil.Root(), self: os.Getpid(), over: func() { collecting.Store(false) }}, limit)
}

// collecting bounds what a process that hangs can keep: one thread and one descriptor.
var collecting atomic.Bool

var errCollecting = errors.New("the snapshot before it still waits for a process that hangs")

func takeSnapshot(c *collector, limit time.Duration) (Snapshot, error) {
	c.snapshot.At = time.Now()
	done := make(chan error, 1)
	go func() {
		if c.over != nil {
			defer c.over()
		}
		defer func() {
			if v := recover(); v != nil { // what is read was written by others
				done <- fmt.Errorf("internal error: %v", v)
			}
		}()
		done <- c.collect()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	cut := false
	select {
	case err = <-done:
	case <-timer.C:
		cut = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = true // the list is the caller's now
	c.snapshot.Cut = cut
	return c.snapshot, err
}

// collector takes a snapshot.
type collector struct {
	role   nsutil.Role
	leaf   *cgroup.Cgroup
	proc   *procfs.Proc
	root   int    // whose descendants they are
	self   int    // this process
	stacks bool   // read kernel stacks as well, and what is frozen
	over   func() // called at the end, if not nil

	mu       sync.Mutex
	taken    bool // nobody waits any more
	snapshot Snapshot
}

func (c *collector) collect() error {
	if !c.proc.Mounted() {
		return procfs.ErrNoProc
	}
	pids, err := c.members()
	if err != nil {
		return err
	}
	all := make([]Process, 0, min(len(pids), maxDescribed))
	left := 0
	for _, pid := range pids {
		if len(all) == maxDescribed {
			left++
		} else if p, ok := c.describe(pid); ok {
			all = append(all, p)
		}
	}
	all = inOrder(all)
	if !c.publish(func(s *Snapshot) { s.Processes, s.Left = all, left }) {
		return nil
	}
	known := &cgroupReader{limits: make(map[string]*PIDLimit), frozen: make(map[string]bool)}
	for _, i := range deepLast(all) {
		wchan := c.proc.WChan(all[i].PID)
		c.publish(func(s *Snapshot) { s.Processes[i].WChan = wchan })
		if c.stacks {
			if b, err := c.proc.Read(all[i].PID, "stack"); err == nil {
				stack := parseStack(b)
				c.publish(func(s *Snapshot) { s.Processes[i].stack = stack })
			}
			if text, err := c.proc.Read(all[i].PID, "cgroup"); err == nil {
				if m := known.membership(c.proc, bytes.Clone(text)); m.frozenV1 {
					c.publish(func(s *Snapshot) { s.Processes[i].frozenBy = m.frozenBy })
				}
			}
		}
		st, err := c.proc.Stat(all[i].PID)
		if err != nil || !c.publish(func(s *Snapshot) { s.Processes[i].time(&st) }) {
			continue
		}
	}
	return nil
}

// deepLast returns the indices with those in uninterruptible sleep last: a process that keeps its
// reader is one of them.
func deepLast(all []Process) []int {
	var first, last []int
	for i := range all {
		if all[i].State == "D" {
			last = append(last, i)
		} else {
			first = append(first, i)
		}
	}
	return append(first, last...)
}

// publish changes the snapshot, unless it was taken already.
func (c *collector) publish(change func(*Snapshot)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.taken {
		change(&c.snapshot)
	}
	return !c.taken
}

func (p *Process) time(st *procfs.Stat) {
	if st.PPID != p.PPID && st.Comm != p.Comm {
		return // another one by now, that has its PID
	}
	p.CPU, p.Age, p.Timed = st.CPU(), st.Age(), true
	p.CPUMS, p.AgeMS = p.CPU.Milliseconds(), p.Age.Milliseconds()
}

// members lists the PIDs of the tree without the locks and checks of a [Tree], which are for who is
// to be signalled.
func (c *collector) members() ([]int, error) {
	if c.role == nsutil.RoleInit {
		all, err := c.proc.PIDs()
		if err != nil {
			return nil, err
		}
		return without(without(all, c.self), c.root), nil
	}
	found, err := c.descendants()
	if err != nil {
		return nil, err
	}
	found = without(found, c.self)
	if c.leaf == nil {
		return found, nil
	}
	known := make(map[int]bool, len(found))
	for _, pid := range found {
		known[pid] = true
	}
	inside, _ := c.leaf.PIDs(nil)
	for _, pid := range inside {
		if !known[pid] && pid != c.self {
			found = append(found, pid)
		}
	}
	return found, nil
}

func without(pids []int, pid int) []int {
	kept := pids[:0]
	for _, p := range pids {
		if p != pid {
			kept = append(kept, p)
		}
	}
	return kept
}

// descendants follows the kernel's lists of children or, without CONFIG_PROC_CHILDREN, what each
// process says of its parent.
func (c *collector) descendants() ([]int, error) {
	found, err := c.proc.Children(nil, c.root)
	if err != nil {
		return c.descendantsByParent()
	}
	for i := 0; i < len(found) && len(found) < 1<<20; i++ { // a process that was given to another parent meanwhile may be there twice
		found, _ = c.proc.Children(found, found[i])
	}
	seen := make(map[int]bool, len(found))
	once := found[:0]
	for _, pid := range found {
		if !seen[pid] {
			seen[pid] = true
			once = append(once, pid)
		}
	}
	return once, nil
}

func (c *collector) descendantsByParent() ([]int, error) {
	all, err := c.proc.PIDs()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, pid := range all {
		if status, err := c.proc.Status(pid); err == nil {
			children[status.PPID] = append(children[status.PPID], pid)
		}
	}
	found := children[c.root]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
		delete(children, found[i]) // what was read at different moments may go in a circle
	}
	return found, nil
}

// describe reads what never hangs.
func (c *collector) describe(pid int) (Process, bool) {
	status, err := c.proc.Status(pid)
	if err != nil {
		return Process{}, false // gone
	}
	return newProcess(pid, &status), true
}

func newProcess(pid int, status *procfs.Status) Process {
	return Process{
		PID: pid, PPID: status.PPID, UID: status.UID, Comm: status.Name, State: string(rune(status.State)), Threads: status.Threads, RSSKB: status.RSSKB,
		Tracer: status.TracerPID, init: len(status.NSpid) > 1 && status.NSpid[len(status.NSpid)-1] == 1,
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
	fmt.Fprintf(&b, "%7s %7s %6s %1s %3s %9s %9s %8s  %-20s %s\n", "PID", "PPID", "UID", "S", "THR", "CPU s", "AGE s", "RSS kB", "WCHAN", "COMM")
	for i := range s.Processes {
		p := &s.Processes[i]
		cpu, age, wchan := "-", "-", p.WChan
		if p.Timed {
			cpu, age = fmt.Sprintf("%.2f", p.CPU.Seconds()), fmt.Sprintf("%.2f", p.Age.Seconds())
		}
		if wchan == "" {
			wchan = "-"
		}
		fmt.Fprintf(&b, "%7d %7d %6d %1s %3d %9s %9s %8d  %-20s %s%s\n", p.PID, p.PPID, p.UID, p.State, p.Threads, cpu, age, p.RSSKB, wchan,
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
