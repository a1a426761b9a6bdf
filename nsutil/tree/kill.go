package tree

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
)

// The kill of a tree as a subreaper. A process that forks and exits hands its place to a new direct
// child within 0.1 ms. While the loop that stops them has a processor, only what runs on another
// one can get away from it. The bounds are for what cannot be stopped (another user's processes):
// beyond them, what is known is killed, and the next round begins.
const (
	quietFreeze = 500 * time.Microsecond // without anybody new, everybody counts as stopped
	maxFreeze   = 100 * time.Millisecond // for that, at most; the reaper waits meanwhile
	maxDrain    = 20 * time.Millisecond  // for the reaper to take the zombies away
	maxSweeps   = 10                     // attempts at freezing, at most, before what is known is killed
	firstPause  = time.Millisecond       // between rounds, and then twice as long each time
	maxPause    = 100 * time.Millisecond
)

// Kill sends SIGKILL to every process of the tree, round after round, until done is closed, which
// is for the reaper to decide: only ECHILD says that a tree is empty. As PID 1 each round is
// kill(-1, SIGKILL). As a subreaper, descendants are stopped first, until nothing new appears, so
// that none of them can fork any more, and then killed. It reports the first error of a round
// through failed, each text once. Where the tree has a cgroup, each round begins with cgroup.kill
// (cgroups(7), Linux 5.14). A round that is under way when done is closed comes to its end, and
// there is one round in any case: what came before it may have taken all the time.
func (t *Tree) Kill(done <-chan struct{}, failed func(error)) {
	reported := make(map[string]bool)
	pause := firstPause
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		err := t.killRound(done)
		if err != nil && !reported[err.Error()] {
			reported[err.Error()] = true
			failed(err)
		}
		if errors.Is(err, procfs.ErrNoProc) || errors.Is(err, errCovered) {
			t.killChildren(done)
		}
		timer.Reset(pause)
		pause = min(2*pause, maxPause)
		select {
		case <-done:
			return
		case <-timer.C:
		}
	}
}

func (t *Tree) killRound(done <-chan struct{}) error {
	if t.role == nsutil.RoleInit { // which needs no file
		err := t.Signal(unix.SIGKILL)
		if t.leaf != nil {
			_ = t.leaf.Kill()
		}
		return err
	}
	killed := t.leaf != nil && t.leaf.Kill() == nil
	// Who is in the cgroup dies by one write. Who is not, is looked for when the others are gone:
	// that is quicker than to walk over all.
	for begin := time.Now(); killed && time.Since(begin) < maxFreeze && !isClosed(done); {
		if t.leaf.WaitEmpty(maxDrain) {
			break
		}
	}
	// Whoever is not in the cgroup is killed, closed or not: the wait for one that cannot die may
	// have taken all the time that there was. And what the round has stopped would stay so.
	for range maxSweeps {
		if isClosed(done) {
			break
		}
		t.freeze(done)
		t.drain(done)
		// Somebody may have come to a place that was looked at before: below a subreaper that is
		// itself part of the tree.
		err := t.sweep(func(m member) { _ = t.send(m, unix.SIGSTOP) }, nil)
		if err != nil {
			return err
		}
		if !t.grew() {
			break
		}
	}
	// Children first: with a parent killed first, its children change parents while they are
	// walked, and a deep tree would take a round for each level.
	covered := t.covered
	err := t.sweep(nil, func() {
		for i := len(t.members) - 1; i >= 0; i-- {
			_ = t.send(t.members[i], unix.SIGKILL)
		}
	})
	if !killed {
		t.signalStrangers(unix.SIGKILL)
	}
	if err == nil && (covered || t.covered) {
		err = errCovered
	}
	return err
}

// nearNumbers are those of the numbers that processes can have, counted from this process's own on,
// that most of its children have.
const nearNumbers = 1 << 15

// farRounds is how often the far numbers have their turn while children are found among the near
// ones: who cannot be killed stays there.
const farRounds = 8

// killChildren is a round of the kill where there is no /proc to read who descends from this
// process. Its children are killed; who descends from them is its child then, and has a turn in the
// next round.
func (t *Tree) killChildren(done <-chan struct{}) {
	t.rounds++
	if t.signalChildren(done, 1, nearNumbers, unix.SIGKILL) == 0 || t.rounds%farRounds == 0 {
		t.signalChildren(done, nearNumbers, t.kernel.MaxPID(), unix.SIGKILL)
	}
}

// signalChildren signals the children with numbers of a range, and returns how many there are. The
// kernel says of each number whether it is a child's, which takes a second or two for all of them.
func (t *Tree) signalChildren(done <-chan struct{}, first, end int, sigs ...unix.Signal) (found int) {
	if t.root != t.self {
		return 0 // the kernel tells a process of its own children alone
	}
	const few = 1 << 10 // are asked for at a time
	all := t.kernel.MaxPID()
	for i := first; i < min(end, all); i++ {
		if i%few == 0 {
			if isClosed(done) {
				return found
			}
			// Others go on, and the runtime polls, which it does not while somebody can run.
			time.Sleep(time.Microsecond)
		}
		pid := (t.root + i) % all
		if !t.kernel.IsChild(pid) {
			continue
		}
		found++
		t.pin.Lock()
		if t.kernel.IsChild(pid) { // and stays one until Unlock
			for _, sig := range sigs {
				_ = t.kernel.Kill(pid, sig)
			}
			t.found[pid] = struct{}{} // so that it is not taken for one who is in the leaf alone
		}
		t.pin.Unlock()
	}
	return found
}

// freeze stops everybody whom it can find, until nobody new appears. It does not let the reaper in
// before that: to wait for it to get a processor, on a machine that is busy with forking, is to
// lose the race. And since nobody is reaped meanwhile, the kernel's lists of direct children only
// grow, at their ends: reading on where the last read stopped returns whoever is new, however many
// zombies stand before. A new one is stopped at once, and then so is the child that it may have
// forked before that.
func (t *Tree) freeze(done <-chan struct{}) {
	t.pin.Lock()
	defer t.pin.Unlock()
	if t.scan || !t.proc.Mounted() {
		return // no lists; the sweep that follows does what can be done
	}
	stop := func(m member) { _ = t.send(m, unix.SIGSTOP) }
	t.begin()
	lists := t.openLists(stop)
	if len(lists) == 0 {
		return // nothing would tell of anybody new
	}
	defer func() {
		for _, fd := range lists {
			t.kernel.Close(fd)
		}
	}()
	walked := t.walk(0, stop)
	begin := time.Now()
	last := begin
	for now := begin; now.Sub(last) < quietFreeze && now.Sub(begin) < maxFreeze; now = time.Now() {
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

// openLists opens the lists of children of this process's threads, as far as there are descriptors,
// and adds who is on them. Orphans go to the first thread.
func (t *Tree) openLists(visit func(member)) []int {
	tasks := strconv.Itoa(t.root) + "/task"
	threads, err := t.proc.Numbers(tasks)
	if err != nil {
		return nil // the sweep that follows says what is wrong
	}
	var fds []int
	for _, tid := range threads {
		fd, err := t.kernel.Open(tasks+"/"+strconv.Itoa(tid)+"/children", 0)
		if err != nil {
			continue
		}
		before := len(t.members)
		t.addListed(fd, visit)
		if tid != t.root && before == len(t.members) {
			t.kernel.Close(fd) // this thread has no children, and gets none
			continue
		}
		fds = append(fds, fd)
	}
	return fds
}

// addListed adds everybody whom reads of fd return until its end. The kernel writes whole numbers,
// each with a blank behind it.
func (t *Tree) addListed(fd int, visit func(member)) {
	for {
		n, err := t.kernel.Read(fd, t.buf)
		if err != nil || n == 0 {
			return
		}
		t.listed = procfs.AppendChildren(t.listed[:0], t.buf[:n])
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
