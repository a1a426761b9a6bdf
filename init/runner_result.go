package pid1

import (
	"cmp"
	"fmt"
	"time"
)

// finish drains what is still queued, gives everything back and makes the Result.
func (r *runner) finish() Result {
	ended := time.Now()
	r.unwatch()
	if r.clock != nil {
		r.clock.close()
	}
	if r.wall != nil {
		r.wall.close()
	}
	if r.earlyWall != nil {
		r.earlyWall.close()
	}
	for _, stop := range r.notices {
		stop()
	}
	for _, t := range r.timers {
		if t != nil {
			t.Stop()
		}
	}
	close(r.done) // nobody waits for the owner any more
	r.drain()
	if err := r.kernel.close(!r.m.gaveUp && r.cfg.Leftovers != LeftoversLeave); err != nil {
		r.log.add(levelInfo, err.Error(), nil)
	}
	r.last = r.result(ended)
	res := &r.last
	if !r.orphaned {
		r.record(reportEnded, res)
	}
	until := time.Now().Add(recordLimit) // for all that is written, together
	r.recorder.close(until)
	r.eventLog.add(runEvent{Event: "ended", PID: res.PID, Cause: newReportCause(&res.Cause), ExitStatus: &res.ExitStatus})
	r.eventLog.close(until)
	r.complain()
	if least := time.Now().Add(leastFlush); until.Before(least) { // for what there is to say of the others
		until = least
	}
	res.Counts.LogDropped = r.log.close(until)
	return *res
}

// result is what there is to say of the run at a moment.
func (r *runner) result(at time.Time) Result {
	m := r.m
	res := Result{
		Cause: m.cause, PID: m.pid, Role: m.role, Started: r.started, Ended: at,
		Ladder: r.ladder, States: r.states, Counts: m.counts, Survivors: m.survivors, GaveUp: m.gaveUp, Rusage: m.change.Rusage,
		Without: r.missing(), SupervisorStarts: r.starts,
	}
	res.Counts.Unexpected += r.panics
	if res.Started.IsZero() {
		res.Started = r.begun
	}
	res.Counts.LogDropped = int(r.log.dropped.Load())
	res.ExitStatus = exitStatus(r.cfg, m.cause, m.pid != 0)
	return res
}

// follow has the state written down, if it is another than the last one.
func (r *runner) follow() {
	if r.recorder == nil || r.finished {
		return
	}
	state := ""
	switch m := r.m; {
	case m.state == stateRunning:
		state = reportStarted
	case m.state == stateStopping, m.state == stateLeftovers && m.leftovers:
		state = reportStopping
	case m.state == stateKilling, m.state == stateSurvey:
		state = reportKilling
	}
	if state != "" && state != r.recorded {
		res := r.result(time.Now())
		r.record(state, &res)
	}
}

func (r *runner) record(state string, res *Result) {
	if r.recorder == nil {
		return
	}
	r.recorded = state
	r.recorder.add(snapshot{state: state, at: res.Ended, args: r.cfg.Args, dir: cmp.Or(r.dir, r.cfg.Dir), planned: r.cfg.planned, trees: r.trees, result: *res})
	r.complain()
}

func (r *runner) complain() {
	if err := r.eventLog.failure(); err != nil {
		r.log.add(levelWarn, fmt.Sprintf("cannot write %s: %v", r.cfg.Events, err), nil)
	}
	for _, err := range r.recorder.failures() {
		r.log.add(levelWarn, err.Error(), nil)
	}
}

func (r *runner) missing() []string {
	missing := r.kernel.without()
	if r.noProc {
		missing = append(missing, "proc")
	}
	return missing
}

// leastFlush is what the log has at least, of the time for all that is written.
const leastFlush = 100 * time.Millisecond

// drain counts what came and could not be acted on any more.
func (r *runner) drain() {
	for {
		select {
		case ev := <-r.events:
			if ev.kind == evReaped {
				r.m.counts.Orphans += ev.count
			}
			if ev.handled != nil {
				ev.handled <- struct{}{}
			}
		case <-r.source.C:
			r.m.counts.Undelivered++
		default:
			return
		}
	}
}
