package inspect

import (
	"slices"
	"time"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
)

// Survivor is a process that was sent SIGKILL and is still there.
type Survivor struct {
	PID    int
	Comm   string
	State  byte // as in /proc/PID/stat
	UID    int
	WChan  string   // the kernel function it sleeps in, where the kernel tells
	Stack  []string // its kernel stack, innermost first, where this process may read it (CAP_SYS_ADMIN)
	Tracer int      // the PID of its tracer, 0 for none
	Why    string   // why it is still there, in the words of a verdict of [Inspect]
}

// FindSurvivors describes everything that a [Snapshot] would, in the order of PIDs, and why it is
// still there. It returns after limit with what it has by then. It is an error if /proc tells of
// nobody in that time.
func FindSurvivors(role nsutil.Role, leaf *cgroup.Cgroup, limit time.Duration) ([]Survivor, error) {
	return FindSurvivorsOf(linux{}, role, orNone(leaf), limit)
}

// FindSurvivorsOf is FindSurvivors with a kernel that a test may simulate.
func FindSurvivorsOf(k Kernel, role nsutil.Role, leaf Leaf, limit time.Duration) ([]Survivor, error) {
	// A file that hangs tells why its process is left, if time is left after it.
	reader := procfs.NewLimited(k.NewProc, limit/2, limit, maxLost)
	return findSurvivors(k, newMembers(k, role, leaf), reader)
}

func findSurvivors(k Kernel, m members, reader *procfs.Limited) ([]Survivor, error) {
	in := newInspector(k, reader, m.self)
	defer in.reader.Close()
	in.threads = maxDescribed // more would take the time that the rest needs
	tree, _, err := in.describeMembers(m)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(tree, func(a, b *Inspected) int { return a.PID - b.PID })
	at := make(map[int]*Inspected, len(tree))
	for _, p := range tree {
		p.killed = true
		at[p.PID] = p
	}
	for _, p := range deepLast(tree) {
		in.readThreads(p)
		in.readCgroup(p)
		in.readWChan(p)
		in.readStack(p)
	}
	in.relate(tree, at)
	all := make([]Survivor, 0, len(tree))
	for _, p := range tree {
		all = append(all, Survivor{
			PID: p.PID, Comm: p.Comm, State: p.State[0], UID: p.UID,
			WChan: p.WChan, Stack: p.Stack, Tracer: p.Tracer, Why: p.words(p.reason()),
		})
	}
	return all, nil
}
