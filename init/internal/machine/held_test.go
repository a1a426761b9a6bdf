package machine

import (
	"testing"

	"github.com/finite-init/finite/init/ending"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
)

func held(code reap.Code, status int) Event {
	return Event{
		Kind:   EvHeld,
		Change: reap.Change{PID: testPID, Code: code, Status: status},
		Why:    "its tracer gdb (pid 9) holds it",
	}
}

// A command whose zombie a tracer holds has ended: the rest is dealt with, and its status is what
// it is.
func TestMachineHeld(t *testing.T) {
	for _, test := range []struct {
		name   string
		cfg    func(*terms)
		steps  []step
		kind   ending.Kind
		status int
	}{
		{
			name: "until what holds it is ended",
			steps: []step{
				{
					held(reap.CodeExited, 3), "arm settle 1s; disarm settle; terminate SIGTERM; arm ladder 5s",
					ending.StateLeftovers,
				},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{exit(3), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 3,
		},
		{
			name: "for ever",
			steps: []step{
				{
					held(reap.CodeKilled, 11), "arm settle 1s; disarm settle; terminate SIGTERM; arm ladder 5s",
					ending.StateLeftovers,
				},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", ending.StateSurvey},
				{Event{Kind: EvSurvivors, Survivors: []inspect.Survivor{{PID: testPID}}}, "end", ending.StateEnded},
			},
			kind: ending.KindSignaled, status: 128 + 11,
		},
		{
			name: "and let go before anything is done about it",
			cfg:  func(c *terms) { c.Leftovers = ending.LeftoversWait },
			steps: []step{
				{held(0, 0), "arm settle 1s; disarm settle", ending.StateLeftovers},
				{exit(4), "", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 4,
		},
		{
			name: "at the deadline",
			steps: []step{
				{Event{Kind: EvDeadline, Gone: true}, "arm ladder 5s", ending.StateStopping},
				{held(reap.CodeExited, 0), "arm settle 1s; disarm settle; terminate SIGTERM", ending.StateLeftovers},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{exit(0), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 0,
		},
		{
			name: "while it is killed",
			steps: []step{
				{deadline, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{held(reap.CodeKilled, 9), "", ending.StateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", ending.StateSurvey},
				{Event{Kind: EvSurvivors, Survivors: []inspect.Survivor{{PID: testPID}}}, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "but it was reaped just then",
			steps: []step{
				{exit(5), "arm settle 1s", ending.StateLeftovers},
				{held(reap.CodeExited, 0), "", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind:   ending.KindExited,
			status: 5,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(testTerms(test.cfg), nsutil.RoleSubreaper)
			m.Handle(cloning)
			m.Handle(started)
			for i, s := range test.steps {
				if got := said(m.Handle(s.Event)); got != s.want || m.state != s.state {
					t.Fatalf("step %d, %v: %q, %v; want %q, %v", i, s.Event.Kind, got, m.state, s.want, s.state)
				}
			}
			if status := m.Policy.ExitStatus(m.cause, true); m.cause.Kind != test.kind || status != test.status ||
				m.counts.Unexpected > 0 {
				t.Errorf(
					"%+v, status %d, %d unexpected; want %v, %d",
					m.cause,
					status,
					m.counts.Unexpected,
					test.kind,
					test.status,
				)
			}
		})
	}
}
