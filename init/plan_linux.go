//go:build amd64 || arm64

package pid1

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/internal/keeper"
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
	var undo cleanup
	defer undo.run()
	p, err := newPlanner(ctx, link, cfg, &undo)
	if err != nil {
		return err
	}
	if p.calls.Hand(link) != nil {
		return nil // the front is gone, and what was made is undone
	}
	undo.drop()
	p.attend()
	return nil
}

// planner makes a plan, and serves the front and the keeper while they need it.
type planner struct {
	*runner // that does not run
	link    *keeper.Link
	command *spawn.Command
	calls   *spawn.CallList
	to      record.Targets
}

func newPlanner(ctx context.Context, link *keeper.Link, cfg Config, undo *cleanup) (_ *planner, err error) {
	role := nsutil.RoleSubreaper
	if cfg.Unshare.Has(nsutil.PIDNamespace) {
		role = nsutil.RoleInit
	}
	p := &planner{runner: newRunner(cfg), link: link}
	_, ends := ctx.Deadline()
	if p.policy, err = cfg.policy(role, ends); err != nil {
		return nil, err
	}
	namespaces, err := openNamespaces(&cfg)
	if err != nil {
		return nil, err
	}
	undo.add(namespaces.Close)
	p.to = p.targets(record.Self{PID: unix.Getpid(), Stderr: link.Stderr})
	if p.command, _, err = p.runner.command(ctx, &p.to); err != nil {
		return nil, err
	}
	undo.add(p.command.GiveBack)
	if p.command.Cgroup != nil { // it is removed when the command may have filled a limit of threads
		effects.ReserveThreads(0)
		effects.SettleThreads()
	}
	if p.calls, err = spawn.NewCallList(link.Plan, namespaces, p.command); err != nil {
		return nil, err
	}
	link.Plan.Stays = p.command.Cgroup != nil || p.to.IsReported()
	return p, nil
}

// openNamespaces opens the namespaces that are joined.
func openNamespaces(cfg *Config) (*spawn.Namespaces, error) {
	w := spawn.Wanted{Unshare: cfg.Unshare, Targets: cfg.Join, Hostname: cfg.Hostname, MapRoot: cfg.MapRoot}
	for _, target := range cfg.Join {
		files, err := nsutil.OpenNamespaces(target)
		if err != nil {
			nsutil.CloseNamespaces(w.Join)
			return nil, &UsageError{Field: "Join", Value: target, Why: err.Error()}
		}
		w.Join = append(w.Join, files...)
	}
	return spawn.NewNamespaces(w)
}

// attend does what the child waits for, and what is to be done at the end.
func (p *planner) attend() {
	leaf := p.command.Cgroup
	gone, kill := p.serve()
	if refused := p.calls.Refused(); refused != nil {
		p.recordRefusal(refused)
	}
	if leaf == nil {
		return
	}
	if gone { // the keeper ends everything, if it can
		limit := p.policy.Ending.KillAfter() + max(p.policy.GiveUp, 0)
		kill = !leaf.WaitEmpty(limit)
	}
	if kill {
		_ = leaf.Kill()
	}
	_ = leaf.Remove(effects.RemoveLimit)
}

// serve answers the front and the keeper until they need the planner no more, or are gone. kill:
// the cgroup is to be killed.
func (p *planner) serve() (gone, kill bool) {
	plan := p.link.Plan
	for over := !p.calls.MapsRanges() && !plan.Stays; !over; {
		m, _, err := p.link.Hear()
		switch {
		case err != nil:
			return true, kill
		case m.Kind == keeper.KindPlanOver:
			return false, m.Value != 0
		case m.Kind == keeper.KindPlanMade && p.calls.MapsRanges():
			if err := p.calls.MapRanges(int(m.Value)); err != nil {
				plan.Said = true
				p.complain(err)
			}
		case m.Kind == keeper.KindPlanBegun:
			plan.Stays = p.command.Cgroup != nil
			if over = !plan.Stays; !over { // a reader of standard error does not wait for this process
				_ = unix.Dup3(unix.Stderr, p.link.Stderr, unix.O_CLOEXEC)
				go effects.CloseCallers([]int{unix.Stderr})
			}
		}
	}
	return false, false
}

// recordRefusal writes the report of a keeper that could not be made.
func (p *planner) recordRefusal(refused *spawn.Refusal) {
	to := p.to
	to.Events = ""
	if p.out.Open(to, nil) != nil {
		return
	}
	at := time.Now()
	cause := ending.Cause{Kind: ending.KindStartFailed, Step: refused.Step, Err: refused.Err}
	p.out.Close(p.report(ending.Result{
		Cause: cause, Role: nsutil.CurrentRole(), Started: at, Ended: at,
		ExitStatus: p.policy.ExitStatus(cause, false),
	}), false)
}

// complain says why no keeper can be made.
func (p *planner) complain(err error) {
	_, _ = unix.Write(
		p.link.Stderr,
		[]byte("finite: cannot start the command: "+text.Printable(err.Error())+"\n"),
	)
}
