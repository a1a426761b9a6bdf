package machine

import (
	"testing"

	"github.com/finite-init/finite/init/ending"

	"github.com/finite-init/finite/nsutil"
)

// Another deadline does not begin again what waits for a snapshot alone.
func TestMachineTwoDeadlines(t *testing.T) {
	m := newMachine(testTerms(func(c *terms) { c.Escalate = mustParseLadder("DUMP@0s,KILL@0s") }), nsutil.RoleSubreaper)
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
