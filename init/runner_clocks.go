package pid1

import (
	"context"
	"time"

	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/machine"
)

// clocks are what a run waits for in time. What they have to say they post as events.
type clocks struct {
	unwatch func() bool // of the context
	wall    clock       // Config.Deadline
	timeout clock       // Config.Timeout; nil before it runs
	early   clock       // the next rung before Config.Deadline
	notices []func()    // stop what awaits the rungs before the other deadlines
	timers  [machine.TimerCount]*time.Timer
}

// stop stops all of them.
func (c *clocks) stop() {
	c.unwatch()
	for _, one := range []clock{c.timeout, c.wall, c.early} {
		if one != nil {
			one.Close()
		}
	}
	for _, stop := range c.notices {
		stop()
	}
	for _, t := range c.timers {
		if t != nil {
			t.Stop()
		}
	}
}

func timeout(d time.Duration, fire func()) clock { return effects.NewTimeout(d, fire) }

// deadline is the word that a deadline was reached.
func (r *runner) deadline() { r.post(machine.Event{Kind: machine.EvDeadline}) }

// awaitContext has the end of the context announced.
func (r *runner) awaitContext(ctx context.Context) {
	r.ctx = ctx
	r.clocks.unwatch = context.AfterFunc(ctx, func() { r.post(contextEvent(ctx)) })
}

// awaitWall has Config.Deadline announced.
func (r *runner) awaitWall() {
	if !r.cfg.Deadline.IsZero() {
		r.clocks.wall = effects.NewAlarm(r.cfg.Deadline, r.deadline)
	}
}

// awaitTimeout has Config.Timeout announced, of which so much is left.
func (r *runner) awaitTimeout(left time.Duration) { r.clocks.timeout = r.alarm(left, r.deadline) }

// awaitEarly has the rungs before the deadline announced when they are due: before the first of the
// deadlines.
func (r *runner) awaitEarly() {
	early := r.policy.Early
	for first := 0; first < len(early); {
		at, count := early[first].After, early.Group(first)
		first = count
		notice := func() { r.post(machine.Event{Kind: machine.EvNotice, Count: count}) }
		await := func(until time.Time) {
			t := time.AfterFunc(max(0, time.Until(until)), notice)
			r.clocks.notices = append(r.clocks.notices, func() { t.Stop() })
		}
		if r.cfg.Timeout > 0 {
			await(r.started.Add(r.cfg.Timeout + at))
		}
		if until, ends := r.ctx.Deadline(); ends {
			await(until.Add(at))
		}
	}
	r.awaitEarlyByWall()
}

// awaitEarlyByWall has the next rung before Config.Deadline announced: one at a time, for each
// takes a descriptor.
func (r *runner) awaitEarlyByWall() {
	if r.clocks.early != nil {
		r.clocks.early.Close()
		r.clocks.early = nil
	}
	early := r.policy.Early
	next := r.m.Outcome().Early
	if r.cfg.Deadline.IsZero() || next >= len(early) {
		return
	}
	count := early.Group(next)
	r.clocks.early = effects.NewAlarm(
		r.cfg.Deadline.Add(early[next].After),
		func() { r.post(machine.Event{Kind: machine.EvNotice, Count: count}) },
	)
}

// arm starts a timer of the machine's.
func (r *runner) arm(id machine.TimerID, d time.Duration) {
	r.clocks.timers[id] = time.AfterFunc(d, func() { r.post(machine.Event{Kind: machine.EvTimer, Timer: id}) })
}
