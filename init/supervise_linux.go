//go:build amd64 || arm64

package pid1

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Supervise goes on with a run that a keeper has begun, and returns when that is over, or the keeper is gone. cfg says what
// was run, and how it may end; its Timeout and Grace are the keeper's. Package keeper has the details.
func Supervise(link *keeper.Link, cfg Config) {
	facts := &link.Facts
	nsutil.WorkFor(int(facts.Keeper))
	cfg.Timeout = time.Duration(facts.Timeout)
	if cfg.Grace = time.Duration(facts.Grace); cfg.Grace == 0 {
		cfg.Grace = Off
	}
	r := &runner{config: cfg}
	r.cfg = &r.config
	role := nsutil.CurrentRole()
	if r.cfg.setDefaults(role) != nil {
		return // the keeper has parsed what needs no check
	}
	arrived := make(chan signals.Signal)
	r.init(role, &signals.Source{C: arrived})
	kernel := &linked{link: link, post: r.post}
	kernel.init(r.cfg, role, r.done)
	r.kernel = kernel
	r.begun, r.ctx, r.unwatch = time.Now(), context.Background(), func() bool { return true }
	r.relive(facts)
	if link.Tell(keeper.Message{Kind: keeper.KindHello}) != nil {
		return
	}
	go kernel.listen(arrived)
	if r.cfg.Timeout > 0 && facts.DeadlineAt == 0 {
		r.clock = r.kernel.alarm(time.Until(r.started.Add(r.cfg.Timeout)), func() { r.post(event{kind: evDeadline}) })
	}
	for !r.finished {
		select {
		case ev := <-r.events:
			r.step(ev)
		case sig := <-r.source.C:
			r.signal(sig)
		}
	}
	result := r.finish()
	end := keeper.Message{Kind: keeper.KindEnd, Value: int32(result.ExitStatus)}
	if result.GaveUp || r.cfg.Leftovers == LeftoversLeave {
		end.Count = 1
	}
	_ = link.Tell(end)
}

// moment is an event of the past.
type moment struct {
	at int64
	ev event
}

// relive tells the machine what has happened so far, as the facts have it. What came of it was done by the keeper, but for
// the kill of the tree, which is done again. Timers that it would have started go on.
func (r *runner) relive(facts *keeper.Facts) {
	pid := int(facts.Command)
	r.started = wallTime(facts.Started)
	r.kernel.adopt(pid, int(facts.Pidfd), false)
	past := []moment{
		{facts.Started, event{kind: evCloning}},
		{facts.Started, event{kind: evStarted, pid: pid, pidfd: int(facts.Pidfd)}},
	}
	add := func(at int64, ev event) {
		if at != 0 {
			past = append(past, moment{at, ev})
		}
	}
	if s := facts.Stop; s.Number != 0 {
		sig := signals.Arrived(s.Number, s.Code, s.PID, s.UID, s.Value)
		sig.Passed = true
		add(facts.StopAt, event{kind: evSignal, signal: sig})
	}
	add(facts.DeadlineAt, event{kind: evDeadline})
	switch {
	case facts.FrontGone:
		add(facts.KilledAt, event{kind: evFrontGone})
	case facts.DeadlineAt != 0:
		add(facts.KilledAt, event{kind: evTimer, timer: timerGrace})
	}
	add(facts.EndedAt, event{kind: evExited, change: change(facts.Ended)})
	add(facts.LeftoversAt, event{kind: evRemaining})
	slices.SortStableFunc(past, func(a, b moment) int { return int(min(max(a.at-b.at, -1), 1)) })
	for _, p := range past {
		for _, a := range r.m.handle(p.ev) {
			r.reliveAction(&a, time.Since(wallTime(p.at)))
		}
	}
	counts := &r.m.counts
	counts.Forwarded, counts.Undelivered, counts.Orphans = int(facts.Forwarded), int(facts.Undelivered), int(facts.Orphans)
	counts.LeftoversTerminated, counts.LeftoversKilled = int(facts.Terminated+facts.Killed), 0
	if facts.KilledAt != 0 {
		counts.LeftoversTerminated, counts.LeftoversKilled = int(facts.Terminated), int(facts.Killed)
	}
}

// reliveAction is what is left of an action that was due some time ago.
func (r *runner) reliveAction(a *action, ago time.Duration) {
	switch a.kind {
	case actArm:
		r.arm(a.timer, max(a.length-ago, 0))
	case actDisarm:
		r.timers[a.timer].Stop()
	case actKillTree:
		r.kernel.killTree()
	case actTransition:
		r.states = append(r.states, StateChange{a.to.String(), max(time.Since(r.started)-ago, 0)})
	}
}

// wallTime is when CLOCK_MONOTONIC showed at.
func wallTime(at int64) time.Time {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Now().Add(-time.Duration(now.Nano() - at))
}

func change(c keeper.Change) reap.Change {
	return reap.Change{
		PID: int(c.PID), UID: int(c.UID), Code: reap.Code(c.Code), Status: int(c.Status),
		Rusage: reap.Rusage{User: time.Duration(c.User), System: time.Duration(c.System), MaxRSS: c.MaxRSS},
	}
}
