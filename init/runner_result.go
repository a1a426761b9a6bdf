package pid1

import (
	"cmp"
	"slices"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/record"
)

// finish drains what is still queued, gives everything back and makes the Result.
func (r *runner) finish() ending.Result {
	ended := time.Now()
	r.clocks.stop()
	close(r.done) // nobody waits for the owner any more
	r.drain()
	if err := r.effects.Close(!r.m.Outcome().GaveUp && r.policy.Leftovers != ending.LeftoversLeave); err != nil {
		r.out.Log(ending.LevelInfo, err.Error(), nil)
	}
	r.last = r.result(ended)
	if cause := &r.last.Cause; cause.Kind == "" && r.last.PID != 0 {
		cause.Kind = ending.KindExited // before its end was asked for, and nothing has said how
	}
	r.last.Counts.LogDropped = r.out.Close(r.report(r.last), r.orphaned)
	return r.last
}

func (r *runner) report(res ending.Result) record.Report {
	return record.Report{Args: r.cfg.Args, Dir: cmp.Or(r.dir, r.cfg.Dir), Result: res}
}

// result is what there is to say of the run at a moment.
func (r *runner) result(at time.Time) ending.Result {
	o := r.m.Outcome()
	res := ending.Result{
		Cause: o.Cause, PID: o.PID, Role: r.m.Role, Started: r.started, Ended: at,
		Ladder: r.ladder, States: r.states, Counts: o.Counts, Survivors: o.Survivors, GaveUp: o.GaveUp,
		Rusage:  o.Rusage,
		Without: r.missing(), SupervisorStarts: r.starts,
	}
	res.Counts.Unexpected += r.panics
	res.Counts.Orphans += r.unheard.Orphans
	res.Counts.Undelivered += r.unheard.Undelivered
	if res.Started.IsZero() {
		res.Started = r.begun
	}
	res.Counts.LogDropped = r.out.Dropped()
	res.ExitStatus = r.policy.ExitStatus(o.Cause, o.PID != 0)
	return res
}

// follow has the state written down, if it is another than the last one.
func (r *runner) follow() {
	if !r.out.Reports() || r.finished {
		return
	}
	state := ""
	switch o := r.m.Outcome(); {
	case o.State == ending.StateRunning:
		state = record.ReportStarted
	case o.State == ending.StateStopping, o.State == ending.StateLeftovers && o.Remaining:
		state = record.ReportStopping
	case o.State == ending.StateKilling, o.State == ending.StateSurvey:
		state = record.ReportKilling
	}
	now := time.Now()
	r.out.ReportOnce(state, now, func() record.Report { return r.report(r.result(now)) })
}

func (r *runner) missing() []string {
	missing := r.effects.Without()
	if r.noProc {
		missing = append(slices.Clip(missing), "proc")
	}
	return missing
}

// drain counts what came and could not be acted on any more.
func (r *runner) drain() {
	for {
		select {
		case ev := <-r.events:
			if ev.Kind == machine.EvReaped {
				r.unheard.Orphans += ev.Count
			}
			if ev.Handled != nil {
				ev.Handled <- struct{}{}
			}
		case <-r.source.C:
			r.unheard.Undelivered++
		default:
			return
		}
	}
}
