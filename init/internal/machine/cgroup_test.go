package machine

import (
	"slices"
	"strings"
	"testing"

	"github.com/finite-init/finite/init/ending"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
)

// leafTerms are those of a command with a cgroup of its own.
func leafTerms(change func(*terms)) *terms {
	c := testTerms(change)
	c.hasCgroup = true
	return c
}

func namespace(empty bool) Event { return Event{Kind: EvNamespace, Empty: empty} }

// ECHILD is the end only if nobody is in the cgroup either.
func TestMachineAsksTheCgroup(t *testing.T) {
	begin := []step{{cloning, "", ending.StateStarting}, {started, "", ending.StateRunning}}
	for _, tt := range []struct {
		name  string
		cfg   *terms
		steps []step
	}{
		{"no cgroup", testTerms(nil), []step{
			{exit(0), "arm settle 1s", ending.StateLeftovers},
			{empty, "end", ending.StateEnded},
		}},
		{"nobody", leafTerms(nil), []step{
			{exit(0), "arm settle 1s", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{namespace(true), "end", ending.StateEnded},
		}},
		{"somebody, who ends when asked", leafTerms(nil), []step{
			{exit(0), "arm settle 1s", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{
				namespace(false),
				"disarm settle; terminate SIGTERM; arm ladder 5s; arm thaw 50ms; arm probe 50ms",
				ending.StateLeftovers,
			},
			{timer(timerProbe), "look", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{namespace(true), "end", ending.StateEnded},
		}},
		{"somebody deaf", leafTerms(nil), []step{
			{exit(0), "arm settle 1s", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{
				namespace(false),
				"disarm settle; terminate SIGTERM; arm ladder 5s; arm thaw 50ms; arm probe 50ms",
				ending.StateLeftovers,
			},
			{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
			{timer(timerProbe), "look", ending.StateKilling},
			{empty, "probe", ending.StateKilling},
			{namespace(false), "arm probe 50ms", ending.StateKilling},
			{timer(timerProbe), "look", ending.StateKilling},
			{empty, "probe", ending.StateKilling},
			{namespace(true), "end", ending.StateEnded},
		}},
		{"somebody unkillable", leafTerms(func(c *terms) { c.Leftovers = ending.LeftoversKill }), []step{
			{exit(0), "arm settle 1s", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{namespace(false), "disarm settle; kill-tree; arm give-up 5s; arm probe 50ms", ending.StateKilling},
			{timer(timerGiveUp), "survey; arm survey 1s", ending.StateSurvey},
			{timer(timerProbe), "look", ending.StateSurvey},
			{empty, "", ending.StateSurvey},
			{namespace(true), "", ending.StateSurvey},
			{Event{Kind: EvSurvivors}, "end", ending.StateEnded},
		}},
		{"somebody is left alone", leafTerms(func(c *terms) { c.Leftovers = ending.LeftoversLeave }), []step{
			{exit(0), "arm settle 1s", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{namespace(false), "disarm settle; end", ending.StateEnded},
		}},
		{"somebody is waited for", leafTerms(func(c *terms) { c.Leftovers = ending.LeftoversWait }), []step{
			{exit(0), "arm settle 1s", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{namespace(false), "disarm settle; arm probe 50ms", ending.StateLeftovers},
			{timer(timerProbe), "look", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{namespace(false), "arm probe 50ms", ending.StateLeftovers},
			{sig(unix.SIGTERM), "terminate SIGTERM; arm ladder 5s; arm thaw 50ms", ending.StateLeftovers},
			{timer(timerProbe), "look", ending.StateLeftovers},
			{empty, "probe", ending.StateLeftovers},
			{namespace(true), "end", ending.StateEnded},
		}},
		{"a start that fails asks nobody", leafTerms(nil), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(tt.cfg, nsutil.RoleSubreaper)
			steps := slices.Concat(begin, tt.steps)
			if tt.steps == nil {
				steps = []step{
					{cloning, "", ending.StateStarting},
					{Event{Kind: EvStartFailed, Step: ending.StepExec, Err: unix.EACCES}, "end", ending.StateEnded},
				}
			}
			for i, s := range steps {
				if got := said(m.Handle(s.Event)); got != s.want || m.state != s.state {
					t.Fatalf("step %d, %v: %q, %v; want %q, %v", i, s.Event.Kind, got, m.state, s.want, s.state)
				}
			}
			if m.counts.Unexpected > 0 {
				t.Errorf("%d unexpected events", m.counts.Unexpected)
			}
		})
	}
}

// What the kernel killed for want of memory is counted, and said once each time it becomes more.
func TestMachineCountsOOM(t *testing.T) {
	m := newMachine(testTerms(nil), nsutil.RoleSubreaper)
	var notes []string
	for _, ev := range []Event{
		cloning, started,
		{Kind: EvOOM, Count: 2},
		orphan(reap.CodeKilled, 9), exit(0),
		{Kind: EvOOM, Count: 1},
		empty,
	} {
		for _, a := range m.Handle(ev) {
			if a.Kind == ActNote && a.Level == ending.LevelWarn {
				notes = append(notes, a.Why)
			}
		}
	}
	wantCount(t, "OOM kills", m.counts.OOMKills, 3)
	wantCount(t, "unexpected", m.counts.Unexpected, 0)
	if len(notes) != 2 || !strings.HasPrefix(notes[0], "out of memory: the kernel killed 2 ") ||
		!strings.HasPrefix(notes[1], "out of memory: the kernel killed 1 ") {
		t.Errorf("notes: %q", notes)
	}
	if m.cause.Kind != ending.KindExited || m.state != ending.StateEnded {
		t.Errorf("cause %+v, state %v", m.cause, m.state)
	}
}
