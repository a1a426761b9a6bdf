//go:build amd64 || arm64

package pid1

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
	"github.com/finite-init/finite/signals"
)

// Supervise is [Run] for a process that a keeper has forked: it decides, while the keeper clones,
// waits and passes signals on. Where the keeper has begun the run already, it goes on from there.
// Package keeper has the details. own says which variables of the environment are finite's own; the
// command does not see them.
func Supervise(
	ctx context.Context,
	link *keeper.Link,
	cfg Config,
	own func(string) bool,
) (ending.Result, error) {
	facts := &link.Facts
	self := whoIsFinite(link)
	if facts.Plain {
		cfg.Timeout = time.Duration(facts.Timeout)
		if cfg.Grace = time.Duration(facts.Grace); cfg.Grace == 0 {
			cfg.Grace = ending.AtOnce
		}
	}
	if facts.Planned {
		cfg.Unshare, cfg.Join, cfg.Hostname, cfg.MapRoot = 0, nil, "", false
	}
	var after, undo cleanup
	defer after.run()
	defer undo.run()
	r := newRunner(cfg)
	kernel, err := r.prepareLinked(ctx, link, self, own, &after, &undo)
	if err != nil {
		return ending.Result{ExitStatus: ending.StatusFailure}, err
	}
	if facts.Begun() {
		r.relive(facts)
	}
	if err := link.Tell(keeper.Message{Kind: keeper.KindHello}, -1); err != nil {
		return ending.Result{ExitStatus: ending.StatusFailure}, nil // the keeper is gone, and the front says so
	}
	undo.drop()
	go kernel.Listen()
	if o := &kernel.Options; !facts.Plain && o.Enforces { // a fork bomb fills a limit within milliseconds
		effects.ReserveThreads(o.Threads)
		effects.SettleThreads()
	}
	if facts.Begun() {
		return r.goOn(ctx, facts), nil
	}
	return r.run(ctx), nil
}

// whoIsFinite says as which processes a supervisor works, and which it leaves alone.
func whoIsFinite(link *keeper.Link) record.Self {
	facts := &link.Facts
	front := int(facts.Front)
	self := record.Self{
		PID:     int(facts.Keeper),
		Foreign: facts.Foreign,
		Stderr:  link.Stderr,
		Planned: facts.Planned,
	}
	if front != 0 {
		self.PID = front
	}
	if facts.Foreign { // this namespace has no number for the front
		front = 0
	}
	nsutil.WorkFor(int(facts.Keeper), front)
	older := make([]int, 0, facts.OlderCount)
	for _, pid := range facts.Older[:facts.OlderCount] {
		older = append(older, int(pid))
	}
	nsutil.Spare(older)
	return self
}

// prepareLinked is prepare for a supervisor.
func (r *runner) prepareLinked(
	ctx context.Context,
	link *keeper.Link,
	self record.Self,
	own func(string) bool,
	after, undo *cleanup,
) (*effects.Linked, error) {
	cfg, facts := r.cfg, &link.Facts
	role := nsutil.CurrentRole()
	_, ends := ctx.Deadline()
	var err error
	if r.policy, err = cfg.policy(role, ends); err != nil {
		return nil, err
	}
	if err := effects.ReserveDescriptors(); err != nil {
		return nil, err
	}
	if err := link.Listen(); err != nil {
		return nil, err
	}
	if facts.ParentFD < 0 && slices.Contains(cfg.Lifeline, effects.LifelineParent) {
		return nil, &UsageError{
			Field: "Lifeline",
			Value: "parent",
			Why:   "the parent process cannot be watched: it is in another PID namespace, or pidfd_open(2) is refused",
		}
	}
	r.source = &signals.Source{}
	lifeline, err := effects.NewLifeline(cfg.Lifeline, effects.Parent{Pidfd: int(facts.ParentFD)}, r.hungUp)
	if err != nil {
		return nil, err
	}
	after.add(lifeline.Close)
	to := r.targets(self)
	to.Running = facts.Begun()
	to.Memory = &linkedRecords{link, to.Running}
	if err := r.out.Open(to, cfg.Log); err != nil {
		return nil, err
	}
	undo.add(r.out.Discard)
	command, noCgroup, err := r.linkedCommand(ctx, link, &to)
	if err != nil {
		return nil, err
	}
	r.out.Begin()
	r.starts = int(facts.Starts)
	if r.dir = cfg.Dir; r.dir == "" && r.out.Reports() {
		r.dir, _ = os.Getwd() // it is left when the command runs
	}
	o := r.options(role, command, noCgroup, &to)
	o.Forward, o.Rewrite, o.Enforces = cfg.Forward, cfg.Rewrite, cfg.enforces(&r.policy)
	o.Timeout, o.KillAfter = cfg.Timeout, r.policy.Ending.KillAfter()
	o.Lifeline, o.Records = cfg.Lifeline, []string{cfg.Report, cfg.StateFile, cfg.Events}
	o.Own, o.IsQuiet = own, func() bool { return r.isQuiet(o.HasCgroup()) }
	kernel := effects.NewLinked(link, o)
	r.effects = kernel
	r.decide(machine.Setup{Role: role, Ignored: signals.Set(facts.Ignored), HasCgroup: o.HasCgroup()})
	return kernel, nil
}

// linkedCommand is command where a keeper, or a planner, may have made the cgroup. Another user
// namespace may not reach what a planner has made; the planner does.
func (r *runner) linkedCommand(
	ctx context.Context,
	link *keeper.Link,
	to *record.Targets,
) (command *spawn.Command, noCgroup, err error) {
	facts := &link.Facts
	if facts.Cgroup < 0 && !to.Running && !facts.Planned {
		return r.command(ctx, to)
	}
	if command = r.cfg.command(); command == nil {
		return nil, nil, nil
	}
	if facts.Cgroup >= 0 {
		command.Cgroup, noCgroup = cgroup.Adopt(int(facts.Cgroup))
	}
	if facts.Planned {
		noCgroup = nil
	}
	return command, noCgroup, nil
}

// isQuiet reports whether there is nothing to say, so far, of a command that soon exits by itself
// and leaves no process: the exit status is its own, no record has the end, and no line waits to be
// written.
func (r *runner) isQuiet(hasCgroup bool) bool {
	cfg := r.cfg
	return r.out.IsSilent() && len(cfg.Expect) == 0 && !hasCgroup &&
		cfg.ParentDeath == 0 && len(cfg.Lifeline) == 0 && cfg.Deadline.IsZero() && len(cfg.Escalate) == 0
}

// goOn is run for a command that another supervisor, or the keeper, has started.
func (r *runner) goOn(ctx context.Context, facts *keeper.Facts) ending.Result {
	r.begun = time.Now()
	r.awaitContext(ctx)
	o := r.m.Outcome()
	if o.Running && !facts.Plain {
		r.passOn(-1)
	}
	if facts.DeadlineAt == 0 { // else it was reached
		r.awaitWall()
		if r.cfg.Timeout > 0 {
			r.awaitTimeout(max(time.Until(r.started.Add(r.cfg.Timeout)), time.Nanosecond))
		}
		r.awaitEarly()
	}
	r.announced = o.State // with what was announced then
	r.killAt, _ = r.m.KillAt()
	r.loop()
	return r.finish()
}

// linkedRecords has the keeper remember which files the records are.
type linkedRecords struct {
	link  *keeper.Link
	again bool
}

func (l *linkedRecords) Remember(which int, at record.Place) {
	there := keeper.Place{File: keeper.File(at.File), Directory: keeper.File(at.Dir)}
	_ = l.link.Tell(keeper.Message{Kind: keeper.KindRecord, Value: int32(which), Place: there}, -1)
}

func (l *linkedRecords) Known(which int) (record.Place, bool) {
	at := l.link.Facts.Records[which]
	return record.Place{File: record.FileID(at.File), Dir: record.FileID(at.Directory)}, l.again
}
