package pid1

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/signals"
)

func (r *runner) perform(actions []machine.Action) {
	for i := range actions {
		a := &actions[i]
		switch a.Kind {
		case machine.ActArm:
			r.arm(a.Timer, a.Length)
		case machine.ActDisarm:
			r.clocks.timers[a.Timer].Stop()
		case machine.ActProbe:
			r.answer = append(r.answer, machine.Event{Kind: machine.EvNamespace, Empty: r.effects.Empty()})
		case machine.ActTransition:
			r.states = append(r.states, ending.StateChange{State: a.To.String(), At: r.elapsed()})
			r.out.Event(record.Event{Event: "state", From: a.From.String(), To: a.To.String(), Why: a.Why})
			if r.out.Logs(ending.LevelDebug) {
				r.out.Log(
					ending.LevelDebug,
					"state",
					record.Fields{"from": a.From.String(), "to": a.To.String(), "why": a.Why},
				)
			}
		case machine.ActNote:
			r.out.Log(a.Level, a.Why, nil)
		case machine.ActEnd:
			r.finished = true
		default:
			r.tellDone(a, r.effects.Do(a))
		}
	}
}

// tellDone tells what came of an action.
func (r *runner) tellDone(a *machine.Action, err error) {
	switch a.Kind {
	case machine.ActForward:
		r.forwarded(a, err)
	case machine.ActSend:
		r.sent(signals.Name(a.Sig), a.Target.String(), err)
	case machine.ActTerminate:
		r.sent("leftovers", "all", err)
	case machine.ActKillTree:
		r.sent("tree", "all", err)
	}
}

func (r *runner) forwarded(a *machine.Action, err error) {
	name := signals.Name(a.Signal.Number)
	switch {
	case errors.Is(err, unix.ESRCH): // the command is gone, and the word of it on its way
		r.m.ForwardFailed()
		return
	case err != nil:
		r.m.ForwardFailed()
		r.out.Event(record.Event{Event: "forwarded", Signal: name, Target: a.Target.String(), Result: err.Error()})
		r.out.Log(ending.LevelWarn, "cannot pass "+name+" on: "+err.Error(), nil)
		return
	}
	r.out.Event(record.Event{Event: "forwarded", Signal: name, Target: a.Target.String(), Result: "sent"})
	if r.out.Logs(ending.LevelInfo) {
		r.out.Log(
			ending.LevelInfo,
			"passed "+name+" on to "+a.Target.String()+machine.DescribeSender(a.Signal.Sender),
			nil,
		)
	}
}

func (r *runner) sent(step, target string, err error) {
	result := "sent"
	if err != nil {
		result = err.Error()
	}
	r.rung(step, target, result)
}

func (r *runner) rung(step, target, result string) {
	r.out.Event(record.Event{Event: "rung", Step: step, Target: target, Result: result})
	r.ladder = append(r.ladder, ending.Rung{Step: step, Target: target, Result: result, At: r.elapsed()})
	if r.out.Logs(ending.LevelInfo) {
		r.out.Log(ending.LevelInfo, step+" to "+target+": "+result, nil)
	}
}

func (r *runner) elapsed() time.Duration {
	if r.started.IsZero() {
		return 0
	}
	return time.Since(r.started)
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
