package pid1

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/simkernel"
	"github.com/finite-init/finite/signals"
)

// tally counts histories, and in how many of them something was seen.
type tally struct {
	Histories, Wrong int
	Seen             map[string]int
}

func (s *tally) add(other *tally) {
	s.Histories += other.Histories
	s.Wrong += other.Wrong
	for what, n := range other.Seen {
		s.Seen[what] += n
	}
}

// table is what was seen, as text.
func (s *tally) table() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(s.Seen)) {
		fmt.Fprintf(&b, "%9d  %s\n", s.Seen[what], what)
	}
	return b.String()
}

// count counts a history.
func (s *tally) count(h *history) {
	s.Histories++
	if len(h.faults) > 0 {
		s.Wrong++
	}
	saw := func(is bool, what string) {
		if is {
			s.Seen[what]++
		}
	}
	res := &h.result
	saw(true, "role: "+h.world.Role.String())
	saw(true, fmt.Sprintf("cause: %s", res.Cause.Kind))
	for _, also := range res.Cause.Also {
		saw(true, fmt.Sprintf("also: %s", also))
	}
	saw(true, "leftovers: "+h.cfg.Leftovers.String())
	saw(true, "forward: "+h.cfg.Forward.String())
	saw(h.world.Leaf, "option: a cgroup of its own")
	saw(len(h.cfg.Escalate) > 0, "option: a ladder")
	saw(h.cfg.StopGrace != 0, "option: a stop grace time")
	saw(h.cfg.StopDelay != 0, "option: a stop delay")
	saw(res.GaveUp, "end: given up")
	saw(len(res.Survivors) > 0, "end: survivors")
	saw(res.PID == 0, "end: no command ran")
	saw(res.Counts.Orphans > 0, "end: orphans reaped")
	saw(res.Counts.Unexpected > 0, "end: an event was not expected")
	for _, state := range res.States {
		if state.State != ending.StateEnded.String() {
			saw(true, "state: "+state.State)
		}
	}
	for d, n := range h.kernel.Deeds {
		saw(n > 0, "deed: "+simkernel.Deed(d).String())
	}
	faults := reflect.ValueOf(h.world.Faults)
	for i := range faults.NumField() {
		saw(!faults.Field(i).IsZero(), "fault: "+faults.Type().Field(i).Name)
	}
	sent := map[string]bool{}
	for _, one := range h.kernel.Sent {
		sent[signals.Name(one.Signal)] = true
	}
	for name := range sent {
		saw(true, "sent: "+name)
	}
}
