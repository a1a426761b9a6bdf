package nsutil

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Tree is everything that descends from this process, or, as PID 1, everything else in its PID namespace.
type Tree struct {
	role Role
	pin  Pinner
	proc *Proc
	self int

	scan    bool          // no CONFIG_PROC_CHILDREN: find children by scanning all of /proc
	scanned map[int][]int // the scan of the sweep under way: children by parent
	noPidfd bool          // pidfd_open is refused: signal by PID after the same checks

	members     []member         // what the last sweep found
	listed      []int            // what one read of a list of children held
	seen, found map[int]struct{} // who was there in the sweep before, and in the last one
}

// Pinner is the reaper, as far as a tree needs it.
type Pinner interface {
	sync.Locker    // while it is locked, no direct child's PID is freed
	Drained() bool // whether no direct child waits to be reaped
}

// NewTree returns the tree below this process. pin is who reaps the direct children.
func NewTree(role Role, pin Pinner) *Tree {
	return &Tree{
		role: role, pin: pin, proc: NewProc(), self: os.Getpid(),
		seen: make(map[int]struct{}), found: make(map[int]struct{}),
	}
}

// ErrNoProc is why a subreaper can find no descendants.
var ErrNoProc = errors.New("/proc is not mounted, or not this PID namespace's")

// Signal sends the given signals, in order, to every process of the tree once. Processes that appear meanwhile may be missed.
// As PID 1 it is kill(-1). It is an error if the tree cannot be read, or if nobody in it may be signalled (EPERM); an empty tree
// is none.
func (t *Tree) Signal(sigs ...unix.Signal) error {
	if t.role == RoleInit {
		var errs []error
		for _, sig := range sigs {
			if err := unix.Kill(-1, sig); err != nil && err != unix.ESRCH {
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
	if err == nil && reached == 0 && refused != nil {
		return fmt.Errorf("cannot signal any descendant: %w", refused)
	}
	return err
}

// The kill of a tree as a subreaper. A process that forks and exits hands its place to a new direct child within 0.1 ms. While the loop
// that stops them has a processor, only what runs on another one can get away from it. The bounds are for what cannot be stopped
// (another user's processes): beyond them, what is known is killed, and the next round begins.
const (
	quietFreeze = 500 * time.Microsecond // without anybody new, everybody counts as stopped
	maxFreeze   = 100 * time.Millisecond // for that, at most; the reaper waits meanwhile
	maxDrain    = 20 * time.Millisecond  // for the reaper to take the zombies away
	maxSweeps   = 10                     // attempts at freezing, at most, before what is known is killed
	firstPause  = time.Millisecond       // between rounds, and then twice as long each time
	maxPause    = 100 * time.Millisecond
)

// Kill sends SIGKILL to every process of the tree, round after round, until done is closed, which is for the reaper to decide:
// only ECHILD says that a tree is empty. As PID 1 each round is kill(-1, SIGKILL). As a subreaper, descendants are stopped first,
// until nothing new appears, so that none of them can fork any more, and then killed. It reports the first error of a round
// through failed, each text once.
func (t *Tree) Kill(done <-chan struct{}, failed func(error)) {
	reported := make(map[string]bool)
	pause := firstPause
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
		}
		if err := t.killRound(done); err != nil && !reported[err.Error()] {
			reported[err.Error()] = true
			failed(err)
		}
		timer.Reset(pause)
		pause = min(2*pause, maxPause)
	}
}

func (t *Tree) killRound(done <-chan struct{}) error {
	if t.role == RoleInit {
		return t.Signal(unix.SIGKILL)
	}
	for range maxSweeps {
		if isClosed(done) {
			return nil
		}
		t.freeze(done)
		t.drain(done)
		// Somebody may have come to a place that was looked at before: below a subreaper that is itself part of the tree.
		err := t.sweep(func(m member) { _ = t.send(m, unix.SIGSTOP) }, nil)
		if err != nil {
			return err
		}
		if !t.grew() {
			break
		}
	}
	// Children first: with a parent killed first, its children change parents while they are walked, and a deep tree would take a
	// round for each level.
	return t.sweep(nil, func() {
		if isClosed(done) {
			return
		}
		for i := len(t.members) - 1; i >= 0; i-- {
			_ = t.send(t.members[i], unix.SIGKILL)
		}
	})
}

// freeze stops everybody whom it can find, until nobody new appears. It does not let the reaper in before that: to wait for it to get a
// processor, on a machine that is busy with forking, is to lose the race. And since nobody is reaped meanwhile, the kernel's lists of
// direct children only grow, at their ends: reading on where the last read stopped returns whoever is new, however many zombies stand
// before. A new one is stopped at once, and then so is the child that it may have forked before that.
func (t *Tree) freeze(done <-chan struct{}) {
	t.pin.Lock()
	defer t.pin.Unlock()
	if t.scan || !t.proc.Mounted() {
		return // no lists; the sweep that follows does what can be done
	}
	stop := func(m member) { _ = t.send(m, unix.SIGSTOP) }
	t.begin()
	lists := t.openLists(stop)
	defer func() {
		for _, fd := range lists {
			unix.Close(fd)
		}
	}()
	walked := t.walk(0, stop)
	begin := time.Now()
	for last, now := begin, begin; now.Sub(last) < quietFreeze && now.Sub(begin) < maxFreeze; now = time.Now() {
		if isClosed(done) {
			return
		}
		for _, fd := range lists {
			t.addListed(fd, stop)
		}
		if walked < len(t.members) {
			walked = t.walk(walked, stop)
			last = time.Now()
		}
	}
}

// openLists opens the lists of children of this process's threads, as far as there are descriptors, and adds who is on them. Orphans go
// to the first thread.
func (t *Tree) openLists(visit func(member)) []int {
	threads, err := t.proc.numbers("/proc/self/task")
	if err != nil {
		return nil // the sweep that follows says what is wrong
	}
	var fds []int
	for _, tid := range threads {
		path := "/proc/self/task/" + strconv.Itoa(tid) + "/children"
		fd, err := retry(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
		if err != nil {
			continue
		}
		before := len(t.members)
		t.addListed(fd, visit)
		if tid != t.self && before == len(t.members) {
			unix.Close(fd) // this thread has no children, and gets none
			continue
		}
		fds = append(fds, fd)
	}
	return fds
}

// addListed adds everybody whom reads of fd return until its end. The kernel writes whole numbers, each with a blank behind it.
func (t *Tree) addListed(fd int, visit func(member)) {
	for {
		n, err := retry(func() (int, error) { return unix.Read(fd, t.proc.buf) })
		if err != nil || n == 0 {
			return
		}
		t.listed = appendChildren(t.listed[:0], t.proc.buf[:n])
		for _, pid := range t.listed {
			t.add(member{pid: pid, direct: true}, visit)
		}
	}
}

// drain gives the reaper time to take the zombies away, which would make what follows slow.
func (t *Tree) drain(done <-chan struct{}) {
	begin := time.Now()
	for !t.pin.Drained() && time.Since(begin) < maxDrain {
		select {
		case <-done:
			return
		case <-time.After(200 * time.Microsecond):
		}
	}
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// grew reports whether the last sweep found somebody whom the one before had not.
func (t *Tree) grew() bool {
	for pid := range t.found {
		if _, ok := t.seen[pid]; !ok {
			return true
		}
	}
	return false
}

// Members lists the PIDs of the tree as they are now, zombies included, without signalling anybody.
func (t *Tree) Members() ([]int, error) {
	if !t.proc.Mounted() {
		return nil, ErrNoProc
	}
	if t.role == RoleInit {
		all, err := t.proc.PIDs()
		members := all[:0]
		for _, pid := range all {
			if pid != t.self {
				members = append(members, pid)
			}
		}
		return members, err
	}
	var members []int
	err := t.sweep(nil, nil)
	for _, m := range t.members {
		members = append(members, m.pid)
	}
	return members, err
}

// member is one process of the tree, with what is needed to know it again.
type member struct {
	pid    int
	direct bool   // our own child: its PID is pinned while the sweep lasts
	parent int    // index of its parent in Tree.members; none where direct
	start  uint64 // its start time, which with the PID names it for good; not read for direct ones
}

// sweep visits every descendant once, parents before their children, and leaves the list in t.members. visit, which may be nil,
// is called as soon as a member is found. The PIDs of direct children are pinned for the whole sweep, and for then, which may be
// nil too and is called at its end.
func (t *Tree) sweep(visit func(m member), then func()) error {
	t.pin.Lock()
	defer t.pin.Unlock()
	t.begin()
	if !t.proc.Mounted() {
		return ErrNoProc // before anything is read: its numbers would be strangers'
	}
	if t.scan {
		if err := t.scanAll(); err != nil {
			return err
		}
	}
	direct, err := t.children(nil, t.self)
	if err != nil && !t.scan {
		t.scan = true
		if err := t.scanAll(); err != nil {
			return err
		}
		direct, err = t.children(nil, t.self)
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
	t.members = t.members[:0]
}

// walk adds the descendants of the members from index first on and returns how many members there are then. The list grows while it is
// walked: the depth of a tree is the command's to choose, so this is no recursion.
func (t *Tree) walk(first int, visit func(member)) int {
	var pids []int
	for i := first; i < len(t.members); i++ {
		pids, _ = t.children(pids[:0], t.members[i].pid) // an error: it has ended, and its children have another parent now
		for _, pid := range pids {
			if _, ok := t.found[pid]; ok {
				continue
			}
			m := member{pid: pid, parent: i}
			if t.verify(&m) {
				t.add(m, visit)
			}
		}
	}
	return len(t.members)
}

func (t *Tree) add(m member, visit func(member)) {
	t.found[m.pid] = struct{}{}
	t.members = append(t.members, m)
	if visit != nil {
		visit(m)
	}
}

// verify makes sure that m is a child of its parent at this moment and not a stranger who was given a freed PID, and notes its
// start time or, if that is noted already, compares it.
func (t *Tree) verify(m *member) bool {
	p := t.members[m.parent]
	st, err := t.proc.Stat(m.pid)
	if err != nil || st.PPID != p.pid || (m.start != 0 && m.start != st.StartTime) {
		return false
	}
	m.start = st.StartTime
	if p.direct {
		return true
	}
	again, err := t.proc.Stat(p.pid)
	return err == nil && again.StartTime == p.start
}

// send signals one member and nobody else. A direct child's PID is pinned. Any other is signalled through a pidfd that is opened
// before the checks: whatever process it names, if the checks then hold for the PID, it is either the member or a process that
// is gone by now, which takes no signal.
func (t *Tree) send(m member, sig unix.Signal) error {
	if m.direct {
		return unix.Kill(m.pid, sig)
	}
	fd := -1
	if !t.noPidfd {
		var err error
		fd, err = unix.PidfdOpen(m.pid, 0)
		switch err {
		case nil:
			defer unix.Close(fd)
		case unix.ESRCH:
			return err
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM: // for want of a descriptor, the checks and the PID must do
		default:
			t.noPidfd = true
		}
	}
	if !t.verify(&m) {
		return unix.ESRCH
	}
	if fd < 0 {
		return unix.Kill(m.pid, sig)
	}
	err := unix.PidfdSendSignal(fd, sig, nil, 0)
	if err == unix.ENOSYS || err == unix.EPERM {
		return unix.Kill(m.pid, sig) // refused by a filter, or truly not permitted: kill(2) tells
	}
	return err
}

// children appends the children of pid, from the kernel's own list or from the scan of this sweep.
func (t *Tree) children(pids []int, pid int) ([]int, error) {
	if t.scan {
		return append(pids, t.scanned[pid]...), nil
	}
	return t.proc.Children(pids, pid)
}

// scanAll lists who is whose child from /proc/PID/stat of everybody. It is slower than the kernel's own lists, and a line of
// descent that forks and exits quickly slips through more of its sweeps.
func (t *Tree) scanAll() error {
	pids, err := t.proc.PIDs()
	if err != nil {
		return err
	}
	t.scanned = make(map[int][]int)
	for _, pid := range pids {
		if st, err := t.proc.Stat(pid); err == nil {
			t.scanned[st.PPID] = append(t.scanned[st.PPID], pid)
		}
	}
	return nil
}
