//go:build amd64 || arm64

package spawn

import (
	"cmp"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
)

// CallList is a plan that is being made: the calls that a process without Go makes.
type CallList struct {
	plan       *keeper.Plan
	namespaces *Namespaces
	words      map[ending.Step]uint64
	step       ending.Step
	steps      []ending.Step // of each call
	fds        []planDescriptor
	own        []int // descriptors that this process needs no more once they are handed over
	cgroup     []int // the directory of the command's cgroup, and its cgroup.procs
	ready      int   // says that the child can be mapped
	done       int   // and is written when it is
	err        error // what enter could not open
	unmap      error // why the child could not be mapped
}

// planDescriptor is a descriptor that is the first argument of a call.
type planDescriptor struct{ fd, call int }

// begin says which step the next calls are of.
func (p *CallList) begin(step ending.Step) { p.step = step }

// next is the number of the next call.
func (p *CallList) next() int { return int(p.plan.Count) }

// add adds a call. What its arguments point to is in the plan.
func (p *CallList) add(kind int64, nr uintptr, args ...uintptr) {
	if p.words == nil {
		p.words = map[ending.Step]uint64{}
	}
	words, ok := p.words[p.step]
	if !ok {
		words = uint64(p.plan.Text(cmp.Or(p.namespaces.words(p.step), string(p.step))))
		p.words[p.step] = words
	}
	p.plan.Add(kind, words, nr, args...)
	p.steps = append(p.steps, p.step)
}

func (p *CallList) text(s string) uintptr { return p.plan.Text(s) }
func (p *CallList) data(b []byte) uintptr { return p.plan.Bytes(b) }

// descriptor is the first argument of the next call: the number that fd has in the front.
func (p *CallList) descriptor(fd int) uintptr {
	p.fds = append(p.fds, planDescriptor{fd, p.next()})
	return 0
}

// fork has another child of the front go on in the place of the child that makes the calls.
func (p *CallList) fork() {
	p.plan.Forks = true
	p.add(keeper.ForkCall, unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0, 0, 0, 0)
}

// awaitRanges has the child say when it can be mapped, and wait until it is.
func (p *CallList) awaitRanges() {
	var ready, done [2]int
	err := errors.Join(unix.Pipe2(ready[:], unix.O_CLOEXEC), unix.Pipe2(done[:], unix.O_CLOEXEC))
	if err != nil {
		p.err = fmt.Errorf("pipe: %w", err)
		return
	}
	p.ready, p.done = ready[0], done[1]
	p.own = append(p.own, ready[1], done[0])
	p.add(keeper.MustCall, unix.SYS_WRITE, p.descriptor(ready[1]), p.text("x"), 1)
	p.add(keeper.SomeCall, unix.SYS_READ, p.descriptor(done[0]), p.data(make([]byte, 1)), 1)
}

// NewCallList writes a plan for the namespaces, and for the command's cgroup if it has one.
func NewCallList(plan *keeper.Plan, n *Namespaces, cmd *Command) (*CallList, error) {
	p := &CallList{plan: plan, namespaces: n}
	plan.Foreign, plan.Joined = n.forks(), n.joins(nsutil.PIDNamespace)
	return p, p.fill(cmd)
}

func (p *CallList) fill(cmd *Command) error {
	if cmd.Cgroup == nil {
		p.namespaces.enter(p)
		return p.err
	}
	inside, outside, err := cmd.Cgroup.Doors()
	if err != nil {
		return err
	}
	p.own = append(p.own, inside, outside)
	p.cgroup = []int{cmd.Cgroup.FD(), inside}
	visits := p.namespaces.Unshare.Has(nsutil.CgroupNamespace) // its root is where it is made
	if visits {
		p.move(inside, cmd.CgroupRequired)
	}
	p.namespaces.enter(p)
	if visits { // out of the command's reach, which could freeze it there
		p.move(outside, cmd.CgroupRequired)
	}
	return p.err
}

// move moves the process that is to be the keeper into the cgroup whose cgroup.procs is given.
func (p *CallList) move(procs int, required bool) {
	kind := int64(keeper.MayCall)
	if required {
		kind = keeper.MustCall
	}
	p.begin(ending.StepCgroup)
	p.add(kind, unix.SYS_WRITE, p.descriptor(procs), p.text("0"), 1)
}

// Hand gives the descriptors to the front, which makes the keeper then.
func (p *CallList) Hand(link *keeper.Link) error {
	for _, d := range p.fds {
		m := keeper.Message{Kind: keeper.KindPlanDescriptor, Value: int32(d.call)}
		if err := link.Tell(m, d.fd); err != nil {
			return err
		}
	}
	for i, fd := range p.cgroup {
		if err := link.Tell(keeper.Message{Kind: keeper.KindPlanCgroup, Value: int32(i)}, fd); err != nil {
			return err
		}
	}
	for _, fd := range p.own {
		_ = unix.Close(fd)
	}
	p.namespaces.Close()
	return link.Tell(keeper.Message{Kind: keeper.KindPlanned, Value: 1}, -1)
}

// MapsRanges reports whether the child waits until it is mapped.
func (p *CallList) MapsRanges() bool { return p.namespaces.ranges != nil }

// MapRanges maps the child when it is ready. The error says why it cannot be.
func (p *CallList) MapRanges(pid int) error {
	defer func() { _ = unix.Close(p.done) }() // the child goes on, or sees the end
	var b [1]byte
	if n, _ := sys.Retry(func() (int, error) { return unix.Read(p.ready, b[:]) }); n != 1 {
		return nil
	}
	if p.unmap = p.namespaces.ranges.write(pid); p.unmap != nil {
		return p.namespaces.describe(ending.StepMapIDs, p.unmap)
	}
	_, _ = unix.Write(p.done, b[:])
	return nil
}

// Refusal is a call that has failed.
type Refusal struct {
	Step ending.Step
	Err  error
}

// Refused returns which call has failed; nil: none has.
func (p *CallList) Refused() *Refusal {
	n := int(p.plan.Failed)
	if n <= 0 || n > len(p.steps) {
		return nil
	}
	err := p.unmap
	if err == nil {
		err = unix.Errno(p.plan.Errno)
	}
	step := p.steps[n-1]
	return &Refusal{step, p.namespaces.describe(step, err)}
}
