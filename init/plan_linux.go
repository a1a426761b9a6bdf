//go:build amd64 || arm64

package pid1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil"
)

// Plan makes the namespaces of cfg for a keeper that does not exist yet, in a process that is its
// planner: it writes the calls that the kernel is to be asked for into the plan of link, opens what
// they need, and stays while it is needed. The keeper, and with it the command, is in the
// namespaces then. Where finite or the keeper is not in the end, the cgroup that was made is killed
// and removed. An error means that nothing was made.
func Plan(ctx context.Context, link *keeper.Link, cfg Config) error {
	if err := link.Listen(); err != nil {
		return err
	}
	if cfg.Unshare == 0 && len(cfg.Join) == 0 {
		return link.Tell(keeper.Message{Kind: keeper.KindPlanned}, -1)
	}
	role := nsutil.RoleSubreaper
	if cfg.Unshare.Has(nsutil.PIDNamespace) {
		role = nsutil.RoleInit
	}
	if err := cfg.setDefaults(role); err != nil {
		return err
	}
	b, err := newBox(&cfg)
	if err != nil {
		return err
	}
	if b.calls() > len(link.Plan.Calls) {
		return &UsageError{"Join", fmt.Sprint(len(b.join)), "too many namespaces"}
	}
	if err := makeLeaf(ctx, &cfg); err != nil {
		return err
	}
	if cfg.leaf != nil { // it is removed when the command may have filled a limit of threads
		reserveThreads(0)
		settleThreads()
	}
	list := &planned{plan: link.Plan, box: b, join: cfg.Join}
	if err = list.fill(&cfg); err == nil {
		err = list.hand(link)
	}
	if err != nil {
		if cfg.leaf != nil {
			_ = cfg.leaf.Remove(0)
		}
		return err
	}
	list.attend(link, &cfg)
	return nil
}

// planned is a plan that is being made.
type planned struct {
	plan   *keeper.Plan
	box    *box
	join   []string
	words  map[Step]uint64
	step   Step
	steps  []Step // of each call
	fds    []planDescriptor
	own    []int // descriptors that this process needs no more once they are handed over
	cgroup []int // the directory of the command's cgroup, and its cgroup.procs
	ready  int   // says that the child can be mapped
	done   int   // and is written when it is
	err    error // what enter could not open
	unmap  error // why the child could not be mapped
}

// planDescriptor is a descriptor that is the first argument of a call.
type planDescriptor struct{ fd, call int }

// begin says which step the next calls are of.
func (p *planned) begin(step Step) { p.step = step }

// next is the number of the next call.
func (p *planned) next() int { return int(p.plan.Count) }

// add adds a call. What its arguments point to is in the plan.
func (p *planned) add(kind int64, nr uintptr, args ...uintptr) {
	if p.words == nil {
		p.words = map[Step]uint64{}
	}
	words, ok := p.words[p.step]
	if !ok {
		words = uint64(p.plan.Text(cmp.Or(p.box.words(p.step, p.join), string(p.step))))
		p.words[p.step] = words
	}
	p.plan.Add(kind, words, nr, args...)
	p.steps = append(p.steps, p.step)
}

func (p *planned) text(s string) uintptr { return p.plan.Text(s) }
func (p *planned) data(b []byte) uintptr { return p.plan.Bytes(b) }

// descriptor is the first argument of the next call: the number that fd has in the front.
func (p *planned) descriptor(fd int) uintptr {
	p.fds = append(p.fds, planDescriptor{fd, p.next()})
	return 0
}

// fork has a child of the front's go on in the place of the one that makes the calls.
func (p *planned) fork() {
	p.plan.Forks = true
	p.add(keeper.ForkCall, unix.SYS_CLONE, unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0, 0, 0, 0)
}

// awaitRanges has the child say when it can be mapped, and wait until it is.
func (p *planned) awaitRanges() {
	var ready, done [2]int
	if err := errors.Join(unix.Pipe2(ready[:], unix.O_CLOEXEC), unix.Pipe2(done[:], unix.O_CLOEXEC)); err != nil {
		p.err = fmt.Errorf("pipe: %w", err)
		return
	}
	p.ready, p.done = ready[0], done[1]
	p.own = append(p.own, ready[1], done[0])
	p.add(keeper.MustCall, unix.SYS_WRITE, p.descriptor(ready[1]), p.text("x"), 1)
	p.add(keeper.SomeCall, unix.SYS_READ, p.descriptor(done[0]), p.data(make([]byte, 1)), 1)
}

// fill writes the plan.
func (p *planned) fill(cfg *Config) error {
	p.plan.Foreign, p.plan.Joined = p.box.forks(), p.box.joins(nsutil.PIDNamespace)
	p.plan.Stays = cfg.leaf != nil || cfg.Report != "" || cfg.StateFile != ""
	if cfg.leaf == nil {
		p.box.enter(p)
		return p.err
	}
	inside, outside, err := cfg.leaf.Doors()
	if err != nil {
		return err
	}
	p.own = append(p.own, inside, outside)
	p.cgroup = []int{cfg.leaf.FD(), inside}
	visits := cfg.Unshare.Has(nsutil.CgroupNamespace) // its root is where it is made
	if visits {
		p.move(inside, cfg.Cgroup)
	}
	p.box.enter(p)
	if visits { // out of the command's reach, which could freeze it there
		p.move(outside, cfg.Cgroup)
	}
	return p.err
}

// move moves the process that is to be the keeper into the cgroup whose cgroup.procs is given.
func (p *planned) move(procs int, mode CgroupMode) {
	kind := int64(keeper.MayCall)
	if mode == CgroupRequire {
		kind = keeper.MustCall
	}
	p.begin(StepCgroup)
	p.add(kind, unix.SYS_WRITE, p.descriptor(procs), p.text("0"), 1)
}

// hand gives the descriptors to the front, which makes the keeper then.
func (p *planned) hand(link *keeper.Link) error {
	for _, d := range p.fds {
		if err := link.Tell(keeper.Message{Kind: keeper.KindPlanDescriptor, Value: int32(d.call)}, d.fd); err != nil {
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
	p.box.close()
	return link.Tell(keeper.Message{Kind: keeper.KindPlanned, Value: 1}, -1)
}

// attend does what the child waits for, and what is to be done at the end.
func (p *planned) attend(link *keeper.Link, cfg *Config) {
	gone, kill := false, false
	for over := p.box.ranges == nil && !p.plan.Stays; !over; {
		m, _, err := link.Hear()
		switch {
		case err != nil:
			gone, over = true, true
		case m.Kind == keeper.KindPlanOver:
			over, kill = true, m.Value != 0
		case m.Kind == keeper.KindPlanMade && p.box.ranges != nil:
			p.mapRanges(link, int(m.Value))
		case m.Kind == keeper.KindPlanBegun:
			p.plan.Stays = cfg.leaf != nil
			if over = !p.plan.Stays; !over { // nobody waits for the end of what this process writes
				_ = unix.Dup3(unix.Stderr, link.Stderr, unix.O_CLOEXEC)
				go closeCallers([]int{unix.Stderr})
			}
		}
	}
	if n := int(p.plan.Failed); n > 0 && n <= len(p.steps) {
		err := p.unmap
		if err == nil {
			err = unix.Errno(p.plan.Errno)
		}
		recordRefusal(cfg, p.steps[n-1], p.box.describe(p.steps[n-1], p.join, err))
	}
	if cfg.leaf == nil {
		return
	}
	if gone { // the keeper ends everything, if it can
		limit := cfg.ladders.ending.killAfter() + max(cfg.GiveUp, 0)
		kill = !cfg.leaf.WaitEmpty(limit)
	}
	if kill {
		_ = cfg.leaf.Kill()
	}
	_ = cfg.leaf.Remove(removeLimit)
}

// mapRanges maps the child when it is ready.
func (p *planned) mapRanges(link *keeper.Link, pid int) {
	defer func() { _ = unix.Close(p.done) }() // the child goes on, or sees the end
	var b [1]byte
	if n, _ := sys.Retry(func() (int, error) { return unix.Read(p.ready, b[:]) }); n != 1 {
		return
	}
	if p.unmap = p.box.ranges.write(pid); p.unmap != nil {
		p.plan.Said = true
		complainPlan(link, p.box.describe(StepMapIDs, p.join, p.unmap))
		return
	}
	_, _ = unix.Write(p.done, b[:])
}

// recordRefusal writes the report of a keeper that could not be made.
func recordRefusal(cfg *Config, step Step, err error) {
	rec, failure := newRecorder(cfg, false)
	if failure != nil || rec == nil {
		return
	}
	at := time.Now()
	cause := Cause{Kind: KindStartFailed, Step: step, Err: err}
	rec.add(snapshot{state: reportEnded, at: at, args: cfg.Args, dir: cfg.Dir, result: Result{
		Cause: cause, Role: nsutil.CurrentRole(), Started: at, Ended: at, ExitStatus: exitStatus(cfg, cause, false),
	}})
	rec.close(time.Now().Add(recordLimit))
}

// complainPlan says why no keeper can be made.
func complainPlan(link *keeper.Link, err error) {
	_, _ = unix.Write(link.Stderr, []byte("finite: cannot start the command: "+text.Printable(err.Error())+"\n"))
}
