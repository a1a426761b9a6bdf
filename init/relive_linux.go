//go:build amd64 || arm64

package pid1

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/signals"
)

// moment is an event of the past.
type moment struct {
	at int64
	ev machine.Event
}

// relive tells the machine what has happened so far, as the facts have it. What came of it was done
// by the keeper, but for the kill of the tree, which is done again. Timers that it would have
// started go on.
func (r *runner) relive(facts *keeper.Facts) {
	boot := bootTime()
	r.started = boot.Add(time.Duration(facts.Started))
	r.out.StartAt(r.started)
	for _, p := range r.past(facts, boot) {
		p.ev.At = boot.Add(time.Duration(p.at)).Sub(r.epoch)
		ago := time.Since(boot) - time.Duration(p.at)
		if r.reliveEvent(p.ev, ago) { // the other supervisor has taken the snapshot, and gone on
			r.reliveEvent(machine.Event{Kind: machine.EvDumped, At: p.ev.At}, ago)
		}
	}
	if facts.WasKilled() {
		counter, n := effects.OpenOOMCounter()
		if counter.Close(); n > 0 {
			r.post(machine.Event{Kind: machine.EvOOM, Count: n, Ever: true})
		}
	}
	r.m.Recall(pastCounts(facts))
}

// reliveEvent tells the machine an event of some time ago, and reports whether that has a snapshot
// taken.
func (r *runner) reliveEvent(ev machine.Event, ago time.Duration) (dumps bool) {
	for _, a := range r.m.Handle(ev) {
		r.reliveAction(&a, ago)
		dumps = dumps || a.Kind == machine.ActDump
	}
	return dumps
}

// past are the events that the facts tell of, in the order in which they happened.
func (r *runner) past(facts *keeper.Facts, boot time.Time) []moment {
	past := []moment{{facts.Started, machine.Event{Kind: machine.EvPaused}}}
	if !facts.Paused {
		started := machine.Event{
			Kind: machine.EvStarted, Pid: int(facts.Command), Pidfd: int(facts.Pidfd),
			Job: !facts.Group, InCgroup: r.m.HasCgroup,
		}
		r.effects.Note(&started)
		past = []moment{{facts.Started, machine.Event{Kind: machine.EvCloning}}, {facts.Started, started}}
	}
	add := func(at int64, ev machine.Event) {
		if at != 0 {
			past = append(past, moment{at, ev})
		}
	}
	if s := facts.Stop; s.Number != 0 {
		sig := effects.Arrived(&s)
		sig.Passed = true
		add(facts.StopAt, machine.Event{Kind: machine.EvSignal, Signal: sig})
	}
	for first, early := 0, r.policy.Early; first < len(early); {
		due, count := r.earlyDue(early[first].After), early.Group(first)
		first = count
		if !due.IsZero() && due.Before(time.Now()) {
			add(int64(due.Sub(boot)), machine.Event{Kind: machine.EvNotice, Count: count})
		}
	}
	add(facts.DeadlineAt, machine.Event{Kind: machine.EvDeadline})
	add(facts.LifelineAt, machine.Event{Kind: machine.EvLifeline})
	for _, at := range facts.Rungs[:facts.RungCount] {
		add(at, machine.Event{Kind: machine.EvTimer, Timer: machine.TimerLadder, Due: true})
	}
	switch {
	case facts.FrontGone:
		add(facts.KilledAt, machine.Event{Kind: machine.EvFrontGone})
	case facts.DeadlineAt != 0:
		add(facts.KilledAt, machine.Event{Kind: machine.EvKilled})
	}
	add(facts.EndedAt, machine.Event{Kind: machine.EvExited, Change: effects.Change(facts.Ended)})
	// What the command had left was not to be waited for.
	add(facts.LeftoversAt, machine.Event{Kind: machine.EvRemaining, Asked: true})
	slices.SortStableFunc(past, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return past
}

// earlyDue is when a rung that is so long after the deadline is due; zero: there is no deadline.
func (r *runner) earlyDue(after time.Duration) (due time.Time) {
	if r.cfg.Timeout > 0 {
		due = r.started.Add(r.cfg.Timeout + after)
	}
	if wall := r.cfg.Deadline; !wall.IsZero() && (due.IsZero() || wall.Add(after).Before(due)) {
		due = wall.Add(after)
	}
	return due
}

// pastCounts are the counts of the keeper. What ended by SIGKILL counts as killed where finite has
// killed.
func pastCounts(facts *keeper.Facts) ending.Counts {
	counts := ending.Counts{
		Forwarded: int(facts.Forwarded), Undelivered: int(facts.Undelivered), Orphans: int(facts.Orphans),
		LeftoversTerminated: int(facts.Terminated), LeftoversKilled: int(facts.Killed),
	}
	if facts.KilledAt == 0 {
		counts.LeftoversTerminated, counts.LeftoversKilled = int(facts.Terminated+facts.Killed), 0
	}
	return counts
}

// reliveAction is what is left of an action that was due some time ago.
func (r *runner) reliveAction(a *machine.Action, ago time.Duration) {
	at := max(time.Since(r.started)-ago, 0)
	switch a.Kind {
	case machine.ActArm:
		r.arm(a.Timer, max(a.Length-ago, 0))
	case machine.ActDisarm:
		r.clocks.timers[a.Timer].Stop()
	case machine.ActTransition:
		r.states = append(r.states, ending.StateChange{State: a.To.String(), At: at})
	case machine.ActSend:
		r.ladder = append(
			r.ladder,
			ending.Rung{Step: signals.Name(a.Sig), Target: a.Target.String(), Result: "sent", At: at},
		)
		if a.Sig == unix.SIGKILL { // at least once
			_ = r.effects.Do(a)
		}
	case machine.ActTerminate:
		r.ladder = append(r.ladder, ending.Rung{Step: "leftovers", Target: "all", Result: "sent", At: at})
	case machine.ActKillTree:
		r.ladder = append(r.ladder, ending.Rung{Step: "tree", Target: "all", Result: "sent", At: at})
		_ = r.effects.Do(a)
	}
}

// bootTime is when CLOCK_MONOTONIC, which the keeper's times are of, showed 0.
func bootTime() time.Time {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Now().Add(-time.Duration(now.Nano()))
}
