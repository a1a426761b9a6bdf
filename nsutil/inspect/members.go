package inspect

import (
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
)

// members are the processes of a tree.
type members struct {
	role nsutil.Role
	leaf Leaf
	root int // whose descendants they are
	self int // this process
}

func newMembers(k Kernel, role nsutil.Role, leaf Leaf) members {
	root, self := k.Processes()
	return members{role: role, leaf: leaf, root: root, self: self}
}

// describeMembers reads of each member what never hangs, up to maxDescribed, and returns how many
// are left.
func (in *inspector) describeMembers(m members) (all []*Inspected, left int, err error) {
	pids, err := in.list(m.list)
	if err != nil {
		return nil, 0, err
	}
	for i, pid := range pids {
		if len(all) == maxDescribed {
			left = len(pids) - i
			break
		}
		p, ok := in.describe(pid)
		in.result.Incomplete = in.result.Incomplete || !ok
		if p.PID != 0 {
			all = append(all, &p)
		}
	}
	if in.result.Incomplete && len(all) == 0 {
		return nil, 0, errSilent
	}
	return all, left, nil
}

// list lists the PIDs of the tree without the locks and checks of a [Tree], which are for who is
// to be signalled.
func (m members) list(proc *procfs.Proc) ([]int, error) {
	if m.role == nsutil.RoleInit {
		all, err := proc.PIDs()
		if err != nil {
			return nil, err
		}
		return without(without(all, m.self), m.root), nil
	}
	found, err := m.descendants(proc)
	if err != nil {
		return nil, err
	}
	found = without(found, m.self)
	if m.leaf == nil {
		return found, nil
	}
	known := make(map[int]bool, len(found))
	for _, pid := range found {
		known[pid] = true
	}
	inside, _ := m.leaf.PIDs(nil)
	for _, pid := range inside {
		if !known[pid] && pid != m.self {
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
func (m members) descendants(proc *procfs.Proc) ([]int, error) {
	found, err := proc.Children(nil, m.root)
	if err != nil {
		return m.descendantsByParent(proc)
	}
	// A process that was given to another parent meanwhile may be there twice.
	for i := 0; i < len(found) && len(found) < 1<<20; i++ {
		found, _ = proc.Children(found, found[i])
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

func (m members) descendantsByParent(proc *procfs.Proc) ([]int, error) {
	all, err := proc.PIDs()
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, pid := range all {
		if status, err := proc.Status(pid); err == nil {
			children[status.PPID] = append(children[status.PPID], pid)
		}
	}
	found := children[m.root]
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
		delete(children, found[i]) // what was read at different moments may go in a circle
	}
	return found, nil
}
