package pid1

import (
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/machine"
)

// awaitEarly has the rungs before the deadline announced when they are due: before the first of the
// deadlines.
func (r *runner) awaitEarly() {
	early := r.policy.Early
	for first := 0; first < len(early); {
		at, count := early[first].After, early.Group(first)
		first = count
		notice := func() { r.post(machine.Event{Kind: machine.EvNotice, Count: count}) }
		after := func(d time.Duration) {
			t := time.AfterFunc(max(0, d), notice)
			r.notices = append(r.notices, func() { t.Stop() })
		}
		if r.cfg.Timeout > 0 {
			after(r.cfg.Timeout + at)
		}
		if until, ends := r.ctx.Deadline(); ends {
			after(time.Until(until) + at)
		}
	}
	r.awaitEarlyByWall()
}

// awaitEarlyByWall has the next rung before Config.Deadline announced: one at a time, for each
// takes a descriptor.
func (r *runner) awaitEarlyByWall() {
	if r.earlyWall != nil {
		r.earlyWall.Close()
		r.earlyWall = nil
	}
	early := r.policy.Early
	next := r.m.Outcome().Early
	if r.cfg.Deadline.IsZero() || next >= len(early) {
		return
	}
	count := early.Group(next)
	r.earlyWall = effects.NewAlarm(
		r.cfg.Deadline.Add(early[next].After),
		func() { r.post(machine.Event{Kind: machine.EvNotice, Count: count}) },
	)
}

// dumped tells of the snapshot that was taken.
func (r *runner) dumped(ev machine.Event) {
	if ev.Err != nil {
		r.rung("dump", "all", ev.Err.Error())
		r.out.Log(ending.LevelWarn, "cannot take a snapshot of the tree: "+ev.Err.Error(), nil)
		return
	}
	r.rung("dump", "all", "taken")
	r.out.Tree(&ev.Snapshot, ev.Snapshot.At.Sub(r.started))
}
