//go:build amd64

package faults

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A keeper that has killed everybody asks of no number whether it is a child's: there are 2^15 near
// its own.
func TestCalls(t *testing.T) {
	needTracing(t)
	w := startWorkers(t, 1)[0]
	defer w.end()
	s, err := w.play(&order{Setting: "subreaper/stubborn"})
	if err != nil {
		t.Fatal(err)
	}
	const most = 1 << 13
	counted := false
	for _, c := range s.Counts {
		if c.Kind != asKeeper || c.Number != unix.SYS_WAITID {
			continue
		}
		counted = true
		if c.Times > most {
			t.Errorf("the keeper calls waitid(2) %d times", c.Times)
		}
	}
	if !counted {
		t.Error("no waitid(2) of the keeper was seen")
	}
}
