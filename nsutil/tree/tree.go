package tree

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
)

// ErrNoProc is why a subreaper can find no descendants but its children.
var ErrNoProc = procfs.ErrNoProc

// errCovered is why a subreaper cannot find all descendants.
var errCovered = errors.New("something is mounted over files of /proc")

// Tree is everything that descends from this process, or, as PID 1, everything else in its PID
// namespace.
type Tree struct {
	role   nsutil.Role
	pin    Pinner
	leaf   Leaf // the cgroup that was made for the tree; nil: none
	kernel Kernel
	proc   *procfs.Proc
	root   int // whose descendants they are
	self   int // this process: the root, or a child of the root that is no part of the tree

	scan    bool          // no CONFIG_PROC_CHILDREN: find children by scanning all of /proc
	scanned map[int][]int // the scan of the sweep under way: children by parent
	covered bool          // the sweep met a file of /proc that something is mounted over
	noPidfd bool          // pidfd_open is refused: signal by PID after the same checks
	rounds  int           // of the kill, without /proc

	members     []member         // what the last sweep found
	listed      []int            // what one read of a list of children held
	buf         []byte           // of such a read
	seen, found map[int]struct{} // who was there in the sweep before, and in the last one
}

// Pinner is the reaper, as far as a tree needs it.
type Pinner interface {
	sync.Locker    // while it is locked, no direct child's PID is freed
	Drained() bool // whether no direct child waits to be reaped
}

// New returns the tree below its root (see [WorkFor]). pin is who reaps the direct children. leaf
// is a cgroup that was made for the tree, or nil: whoever is in it belongs to the tree, wherever he
// descends from.
func New(role nsutil.Role, pin Pinner, leaf *cgroup.Cgroup) *Tree {
	if leaf == nil {
		return NewOf(Linux, role, pin, nil)
	}
	return NewOf(Linux, role, pin, leaf)
}

// NewOf is New with a kernel that a test simulates.
func NewOf(kernel Kernel, role nsutil.Role, pin Pinner, leaf Leaf) *Tree {
	root, self := kernel.Processes()
	return &Tree{
		role: role, pin: pin, leaf: leaf, kernel: kernel, proc: kernel.NewProc(), root: root, self: self,
		seen: make(map[int]struct{}), found: make(map[int]struct{}), buf: make([]byte, 16<<10),
	}
}

// Signal sends the given signals, in order, to every process of the tree once. Processes that
// appear meanwhile may be missed. As PID 1 it is kill(-1). It is an error if the tree cannot be
// read, or if nobody in it may be signalled (EPERM); an empty tree is none.
func (t *Tree) Signal(sigs ...unix.Signal) error {
	killing := slices.Equal(sigs, []unix.Signal{unix.SIGKILL})
	if t.role == nsutil.RoleInit && (len(nsutil.Spared()) == 0 || killing) {
		var errs []error
		for _, sig := range sigs {
			if err := t.kernel.Kill(-1, sig); err != nil && err != unix.ESRCH {
				errs = append(errs, fmt.Errorf("kill(-1): %w", err))
			}
		}
		return errors.Join(errs...)
	}
	reached, refused := 0, error(nil)
	err := t.sweep(func(m member) {
		for _, sig := range sigs {
			switch err := t.send(m, sig); {
			case err == nil:
				reached++
			case err != unix.ESRCH:
				refused = err
			}
		}
	}, nil)
	if errors.Is(err, procfs.ErrNoProc) {
		t.signalChildren(nil, 1, nearNumbers, sigs...) // all of them would keep the kill waiting
	}
	t.signalStrangers(sigs...)
	if err == nil && reached == 0 && refused != nil {
		return fmt.Errorf("cannot signal any descendant: %w", refused)
	}
	return err
}

// leafOnly lists who is in the leaf cgroup and was not found by descent: whoever joined another PID
// namespace, and was orphaned there.
func (t *Tree) leafOnly() []int {
	if t.leaf == nil {
		return nil
	}
	all, _ := t.leaf.PIDs(nil) // the cgroup goes beyond the tree: without it, the tree is what is left
	only := all[:0]
	for _, pid := range all {
		if _, ok := t.found[pid]; !ok && pid != t.self {
			only = append(only, pid)
		}
	}
	return only
}

// maxStrangers bounds the descriptors of strangers.
const maxStrangers = 64

// strangers opens pidfds of leafOnly. A PID that is in the leaf before and after its pidfd was
// opened is that process's.
func (t *Tree) strangers() []int {
	before := t.leafOnly()
	if len(before) == 0 {
		return nil
	}
	fds := make(map[int]int, maxStrangers)
	for _, pid := range before[:min(len(before), maxStrangers)] {
		if fd, err := t.kernel.PidfdOpen(pid); err == nil {
			fds[pid] = fd
		}
	}
	var there []int
	for _, pid := range t.leafOnly() {
		if fd, ok := fds[pid]; ok {
			there = append(there, fd)
			delete(fds, pid)
		}
	}
	for _, fd := range fds {
		t.kernel.Close(fd)
	}
	return there
}

// signalStrangers signals who is in the leaf and was not found by descent.
func (t *Tree) signalStrangers(sigs ...unix.Signal) {
	for _, fd := range t.strangers() {
		for _, sig := range sigs {
			_ = t.kernel.PidfdSendSignal(fd, sig)
		}
		t.kernel.Close(fd)
	}
}

// member is one process of the tree, with what is needed to know it again.
type member struct {
	pid    int
	direct bool // our own child: its PID is pinned while the sweep lasts
	parent int  // index of its parent in Tree.members; none where direct
}

// sweep visits every descendant once, parents before their children, and leaves the list in
// t.members. visit, which may be nil, is called as soon as a member is found. The PIDs of direct
// children are pinned for the whole sweep, and for then, which may be nil too and is called at its
// end.
func (t *Tree) sweep(visit func(m member), then func()) error {
	t.pin.Lock()
	defer t.pin.Unlock()
	t.begin()
	if !t.proc.Mounted() {
		return procfs.ErrNoProc // before anything is read: its numbers would be strangers'
	}
	if t.scan {
		if err := t.scanAll(); err != nil {
			return err
		}
	}
	direct, err := t.children(nil, t.root)
	if err != nil && !t.scan {
		t.scan = true
		if err := t.scanAll(); err != nil {
			return err
		}
		direct, err = t.children(nil, t.root)
	}
	if err != nil {
		return err
	}
	for _, pid := range direct {
		t.add(member{pid: pid, direct: true}, visit)
	}
	t.walk(0, visit)
	if then != nil {
		then()
	}
	return nil
}

// begin begins a sweep.
func (t *Tree) begin() {
	t.seen, t.found = t.found, t.seen
	clear(t.found)
	t.members, t.covered = t.members[:0], false
}

// walk adds the descendants of the members from index first on and returns how many members there
// are then. The list grows while it is walked: the depth of a tree is the command's to choose, so
// this is no recursion.
func (t *Tree) walk(first int, visit func(member)) int {
	var pids []int
	for i := first; i < len(t.members); i++ {
		// An error: it has ended, and its children have another parent now; or it is covered.
		pids, _ = t.children(pids[:0], t.members[i].pid)
		for _, pid := range pids {
			if _, ok := t.found[pid]; ok {
				continue
			}
			if m := (member{pid: pid, parent: i}); t.verify(m) {
				t.add(m, visit)
			}
		}
	}
	return len(t.members)
}

func (t *Tree) add(m member, visit func(member)) {
	if m.pid == t.self || slices.Contains(nsutil.Spared(), m.pid) {
		return
	}
	t.found[m.pid] = struct{}{}
	t.members = append(t.members, m)
	if visit != nil {
		visit(m)
	}
}

// verify makes sure that m is a child of its parent at this moment, and that one of its own, and
// not a stranger who was given a freed PID. Who has such a parent belongs to the tree, whoever had
// the PID before. The start time would tell strangers as well, but /proc/PID/stat hangs for a
// process that is stuck in execve(2).
func (t *Tree) verify(m member) bool {
	for range 2 {
		parent := t.members[m.parent]
		if ppid, err := t.parentOf(m.pid); err != nil || ppid != parent.pid {
			return false
		}
		if parent.direct {
			break
		}
		m = parent
	}
	return true
}

// send signals one member and nobody else. A direct child's PID is pinned. Any other is signalled
// through a pidfd that is opened before the checks: whatever process it names, if the checks then
// hold for the PID, it is either the member or a process that is gone by now, which takes no
// signal.
func (t *Tree) send(m member, sig unix.Signal) error {
	if m.direct {
		return t.kernel.Kill(m.pid, sig)
	}
	fd := -1
	if !t.noPidfd {
		var err error
		fd, err = t.kernel.PidfdOpen(m.pid)
		switch err {
		case nil:
			defer t.kernel.Close(fd)
		case unix.ESRCH:
			return err
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM: // the checks and the PID must do
		default:
			t.noPidfd = true
		}
	}
	if !t.verify(m) {
		return unix.ESRCH
	}
	if fd < 0 {
		return t.kernel.Kill(m.pid, sig)
	}
	err := t.kernel.PidfdSendSignal(fd, sig)
	if err == unix.ENOSYS || err == unix.EPERM {
		return t.kernel.Kill(m.pid, sig) // refused by a filter, or truly not permitted: kill(2) tells
	}
	return err
}

// children appends the children of pid, from the kernel's own list or from the scan of this sweep.
func (t *Tree) children(pids []int, pid int) ([]int, error) {
	if t.scan {
		return append(pids, t.scanned[pid]...), nil
	}
	pids, err := t.proc.Children(pids, pid)
	t.covered = t.covered || procfs.IsCovered(err)
	return pids, err
}

// parentOf returns the parent of pid.
func (t *Tree) parentOf(pid int) (int, error) {
	parent, err := t.proc.Parent(pid)
	t.covered = t.covered || procfs.IsCovered(err)
	return parent, err
}

// scanAll lists who is whose child from /proc/PID/status of everybody. It is slower than the
// kernel's own lists, and a line of descent that forks and exits quickly slips through more of its
// sweeps.
func (t *Tree) scanAll() error {
	pids, err := t.proc.PIDs()
	if err != nil {
		return err
	}
	t.scanned = make(map[int][]int)
	for _, pid := range pids {
		if parent, err := t.parentOf(pid); err == nil {
			t.scanned[parent] = append(t.scanned[parent], pid)
		}
	}
	return nil
}
