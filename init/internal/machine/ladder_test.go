package machine

import (
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"

	"github.com/finite-init/finite/nsutil"
)

// Another deadline does not begin again what waits for a snapshot alone.
func TestMachineTwoDeadlines(t *testing.T) {
	m := newMachine(
		testTerms(func(c *terms) { c.Escalate = mustParseLadder("DUMP@0s,KILL@0s") }),
		nsutil.RoleSubreaper,
	)
	for i, s := range []step{
		{cloning, "", ending.StateStarting},
		{started, "", ending.StateRunning},
		{deadline, "dump; arm dump 1s", ending.StateStopping},
		{deadline, "", ending.StateStopping},
		{just(EvDumped), "disarm dump; send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
	} {
		if got := said(m.Handle(s.Event)); got != s.want || m.state != s.state {
			t.Fatalf("step %d, %v: %q, %v; want %q, %v", i, s.Event.Kind, got, m.state, s.want, s.state)
		}
	}
}

// The word of a timer that was stopped too late does not bring a rung forward.
func TestAStaleTimerBringsNothingForward(t *testing.T) {
	m := newMachine(testTerms(nil), nsutil.RoleSubreaper)
	for _, s := range []struct {
		event Event
		want  string
	}{
		{cloning, ""},
		{started, ""},
		{Event{Kind: EvDeadline, At: 10 * time.Second}, "send SIGTERM child; arm ladder 5s"},
		{Event{Kind: EvTimer, Timer: TimerLadder, At: 11 * time.Second}, "arm ladder 4s"},
		{
			Event{Kind: EvTimer, Timer: TimerLadder, At: 14 * time.Second, Due: true},
			"send SIGKILL child; kill-tree; arm give-up 5s",
		},
	} {
		if got := said(m.Machine.Handle(s.event)); got != s.want {
			t.Fatalf("%v at %v: %q, want %q", s.event.Kind, s.event.At, got, s.want)
		}
	}
}

// What another has killed is not to be ended once more.
func TestMachineIsToldOfTheKill(t *testing.T) {
	m := newMachine(testTerms(nil), nsutil.RoleSubreaper)
	for _, ev := range []Event{cloning, started, deadline} {
		m.Handle(ev)
	}
	if got := said(m.Handle(just(EvKilled))); got != "disarm ladder; send SIGKILL child; kill-tree; arm give-up 5s" ||
		m.state != ending.StateKilling {
		t.Errorf("%q, %v", got, m.state)
	}
}
