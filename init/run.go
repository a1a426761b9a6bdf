package pid1

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

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
func Run(ctx context.Context, cfg Config) (Result, error) {
	r := &runner{config: cfg}
	r.cfg = &r.config
	return r.supervise(ctx)
}

func (r *runner) supervise(ctx context.Context) (Result, error) {
	cfg := r.cfg
	role := nsutil.CurrentRole()
	cfg.until, _ = ctx.Deadline()
	if err := cfg.setDefaults(role); err != nil {
		return Result{ExitStatus: StatusFailure}, err
	}
	if err := needsKeeper(cfg); err != nil {
		return Result{ExitStatus: StatusFailure}, err
	}
	if !busy.CompareAndSwap(false, true) {
		return Result{ExitStatus: StatusFailure}, ErrBusy
	}
	defer busy.Store(false)
	src := cfg.Source
	if src == nil {
		src = signals.Listen()
		defer src.Close()
	}
	if err := reserveDescriptors(); err != nil {
		return Result{ExitStatus: StatusFailure}, err
	}
	cfg.listenLate = src.Late
	if cfg.ParentPID == 0 {
		cfg.ParentPID = unix.Getppid()
	}
	r.init(role, src)
	var err error
	if cfg.lifeline, err = newLifeline(cfg, func() { r.post(event{kind: evLifeline}) }); err != nil {
		return Result{ExitStatus: StatusFailure}, err
	}
	defer cfg.lifeline.close()
	if r.recorder, err = newRecorder(cfg, false); err != nil {
		return Result{ExitStatus: StatusFailure}, err
	}
	started := false
	defer func() {
		if !started {
			r.recorder.discard()
			r.eventLog.discard()
		}
	}()
	if r.eventLog, err = newEventLog(cfg, r.recorder, false); err != nil {
		return Result{ExitStatus: StatusFailure}, err
	}
	if err := makeLeaf(ctx, cfg); err != nil {
		return Result{ExitStatus: StatusFailure}, err
	}
	opened := cfg.lifeline != nil || r.recorder != nil || r.eventLog != nil // since it was looked whether there is room; a leaf looks for itself
	if opened {
		if err := haveDescriptors(cfg.descriptors()); err != nil {
			if cfg.leaf != nil {
				_ = cfg.leaf.Remove(0)
			}
			return Result{ExitStatus: StatusFailure}, fmt.Errorf("cannot reserve %d file descriptors: %w", cfg.descriptors(), err)
		}
	}
	started = true
	r.eventLog.begin(false)
	r.host.init(cfg, role, r.post, r.done, r.eventLog)
	r.kernel = &r.host
	return r.run(ctx), nil
}

// needsKeeper refuses what a process in which Go runs cannot do for a child.
func needsKeeper(cfg *Config) error {
	const why = "namespaces need a finite with its own entry point (finite --version -v tells)"
	switch {
	case cfg.Unshare != 0:
		return &UsageError{"Unshare", cfg.Unshare, why}
	case len(cfg.Join) > 0:
		return &UsageError{"Join", strings.Join(cfg.Join, " "), why}
	}
	return nil
}

// enforces reports whether there is an ending to enforce.
func (c *Config) enforces() bool {
	return c.Timeout != 0 || !c.Deadline.IsZero() || c.StopGrace != Off || len(c.Lifeline) > 0 || len(c.Join) > 0
}

// makeLeaf makes the cgroup that the command is started in, if it is to have one of its own.
func makeLeaf(ctx context.Context, cfg *Config) error {
	switch cfg.Cgroup {
	case CgroupOff:
		return nil
	case CgroupRequire:
		if cfg.Pause {
			return &UsageError{"Cgroup", CgroupRequire, "there is no command that could be in a cgroup"}
		}
	case CgroupAuto:
		if !cfg.enforces() && ctx.Done() == nil || cfg.Pause {
			return nil // it would cost more than it can be worth
		}
	}
	parent, err := cgroup.FindUnified()
	if err == nil && parent == "" {
		err = errors.New("no cgroup v2 is mounted here that this process is in")
	}
	if err == nil {
		cfg.leaf, err = cgroup.New(parent)
	}
	if err == nil {
		needed := cfg.descriptors()
		if cfg.Cgroup == CgroupAuto {
			needed += 2 // a terminal and a timer need them more
		}
		if err = haveDescriptors(needed); err != nil {
			_ = cfg.leaf.Remove(0)
			cfg.leaf = nil
		}
	}
	if err != nil && cfg.Cgroup == CgroupRequire {
		return &UsageError{"Cgroup", CgroupRequire, err.Error()}
	}
	cfg.noLeaf = err
	return nil
}
