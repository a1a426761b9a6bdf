package pid1

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
	"github.com/finite-init/finite/signals"
)

var busy atomic.Bool

// Run runs the command of cfg to its end and returns when nothing of it is left, or when it gave up
// on what cannot be killed.
//
// The context's deadline is the command's deadline; its cancellation asks the command to stop.
// Either begins the ending that cfg describes, so Run returns after at most Grace + GiveUp, and a
// moment for the record of survivors.
//
// An error means that the command could not be supervised at all: a [UsageError], [ErrBusy], or
// that no file descriptor is left. Everything that happens to a command, a failed start included,
// is in the Result. Run makes the process a child subreaper and leaves it one.
func Run(ctx context.Context, cfg Config) (ending.Result, error) {
	var after, undo cleanup
	defer after.run()
	defer undo.run()
	r := newRunner(cfg)
	if err := r.prepare(ctx, &after, &undo); err != nil {
		return ending.Result{ExitStatus: ending.StatusFailure}, err
	}
	undo.drop()
	return r.run(ctx), nil
}

// prepare makes everything that the run needs. What after has is done at the end, what undo has if
// the run does not begin.
func (r *runner) prepare(ctx context.Context, after, undo *cleanup) (err error) {
	cfg := r.cfg
	role := nsutil.CurrentRole()
	_, ends := ctx.Deadline()
	if r.policy, err = cfg.policy(role, ends); err != nil {
		return err
	}
	if err := needsKeeper(cfg); err != nil {
		return err
	}
	if !busy.CompareAndSwap(false, true) {
		return ErrBusy
	}
	after.add(func() { busy.Store(false) })
	if r.source = cfg.Source; r.source == nil {
		r.source = signals.Listen()
		after.add(r.source.Close)
	}
	if err := effects.ReserveDescriptors(); err != nil {
		return err
	}
	if cfg.ParentPID == 0 {
		cfg.ParentPID = unix.Getppid()
	}
	lifeline, err := effects.NewLifeline(cfg.Lifeline, effects.Parent{PID: cfg.ParentPID}, r.hungUp)
	if err != nil {
		return err
	}
	after.add(lifeline.Close)
	to := r.targets(record.Self{PID: unix.Getpid()})
	if err := r.out.Open(to, cfg.Log); err != nil {
		return err
	}
	undo.add(r.out.Discard)
	command, noCgroup, err := r.command(ctx, &to)
	if err != nil {
		return err
	}
	undo.add(command.GiveBack)
	needed := effects.LaterDescriptors + to.Descriptors()
	// Since it was looked whether there is room; a cgroup looks for itself.
	if lifeline != nil || r.out.HasFiles() {
		if err := effects.HaveDescriptors(needed); err != nil {
			return fmt.Errorf("cannot reserve %d file descriptors: %w", needed, err)
		}
	}
	r.out.Begin()
	o := r.options(role, command, noCgroup, &to)
	o.ListenLate, o.ParentPID = r.source.Late, cfg.ParentPID
	r.direct.Init(o)
	r.effects = &r.direct
	r.decide(machine.Setup{Role: role, HasCgroup: o.HasCgroup()})
	return nil
}

// hungUp is the word of the lifeline.
func (r *runner) hungUp() { r.post(machine.Event{Kind: machine.EvLifeline}) }

// targets are where everything is written.
func (r *runner) targets(self record.Self) record.Targets {
	cfg := r.cfg
	return record.Targets{
		Report: cfg.Report, StateFile: cfg.StateFile, Events: cfg.Events, EventsFormat: cfg.EventsFormat,
		Snapshots: r.policy.Dumps(), Self: self,
	}
}

// options are what effects of both kinds know.
func (r *runner) options(
	role nsutil.Role,
	command *spawn.Command,
	noCgroup error,
	to *record.Targets,
) effects.Options {
	if noCgroup != nil {
		r.tellNoCgroup(noCgroup)
	}
	return effects.Options{
		Command: command, Role: role, NoCgroup: noCgroup, Post: r.post, Done: r.done,
		Observer: &r.out, TellsChildren: r.out.TellsChildren(), Threads: to.Threads(),
		Descriptors: to.Descriptors(),
	}
}

// needsKeeper refuses what a process in which Go runs cannot do for a child.
func needsKeeper(cfg *Config) error {
	const why = "namespaces need a finite with its own entry point (finite --version -v tells)"
	switch {
	case cfg.Unshare != 0:
		return &UsageError{Field: "Unshare", Value: cfg.Unshare, Why: why}
	case len(cfg.Join) > 0:
		return &UsageError{Field: "Join", Value: strings.Join(cfg.Join, " "), Why: why}
	}
	return nil
}

// command is what is executed, in a cgroup of its own if it is to have one; nil is none. noCgroup
// is why it has none, where one was looked for.
func (r *runner) command(
	ctx context.Context,
	to *record.Targets,
) (command *spawn.Command, noCgroup, err error) {
	cfg := r.cfg
	if command = cfg.command(); command == nil {
		if cfg.Cgroup == ending.CgroupRequire {
			err = &UsageError{
				Field: "Cgroup",
				Value: ending.CgroupRequire,
				Why:   "there is no command that could be in a cgroup",
			}
		}
		return nil, nil, err
	}
	if !cfg.wantsCgroup(ctx, &r.policy) {
		return command, nil, nil
	}
	command.Cgroup, noCgroup, err = makeCgroup(cfg.Cgroup, effects.LaterDescriptors+to.Descriptors())
	return command, noCgroup, err
}

// command is what is executed, without a cgroup so far; nil: there is none (a pause).
func (c *Config) command() *spawn.Command {
	if c.Pause {
		return nil
	}
	return &spawn.Command{
		Args: c.Args, Env: c.Env, Dir: c.Dir, CgroupRequired: c.Cgroup == ending.CgroupRequire,
	}
}

// wantsCgroup reports whether the command is to have a cgroup of its own. Where no ending is
// foreseen, it would cost more than it can be worth.
func (c *Config) wantsCgroup(ctx context.Context, p *ending.Policy) bool {
	return c.Cgroup == ending.CgroupRequire ||
		c.Cgroup == ending.CgroupAuto && (c.enforces(p) || ctx.Done() != nil)
}

// makeCgroup makes the cgroup that the command is started in, and leaves so many descriptors.
// Without one, none is why, unless one is required.
func makeCgroup(mode ending.CgroupMode, descriptors int) (made *cgroup.Cgroup, none, err error) {
	parent, none := cgroup.FindUnified()
	if none == nil && parent == "" {
		none = errors.New("no cgroup v2 is mounted here that this process is in")
	}
	if none == nil {
		made, none = cgroup.New(parent)
	}
	if none == nil {
		if mode == ending.CgroupAuto {
			descriptors += 2 // a terminal and a timer need them more
		}
		if none = effects.HaveDescriptors(descriptors); none != nil {
			_ = made.Remove(0)
		}
	}
	if none == nil {
		return made, nil, nil
	}
	if mode == ending.CgroupRequire {
		return nil, nil, &UsageError{Field: "Cgroup", Value: ending.CgroupRequire, Why: none.Error()}
	}
	return nil, none, nil
}
