//go:build amd64

package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// summary is what is said at the end.
type summary struct {
	mu         sync.Mutex
	of         [2]int // how many points and kinds of fault there are
	cases      int
	missed     int // of these: the call did not come
	repeated   int
	leaves     int // runs that have left a cgroup
	refused    int // runs that ended before the command had started
	violations []string
	points     map[string]bool
	kinds      map[string]bool
	byKind     map[string]int
	exempt     map[string]int
	reports    map[string]int
	latest     time.Duration
	latestCase string
}

func newSummary() *summary {
	return &summary{
		points: map[string]bool{}, kinds: map[string]bool{}, byKind: map[string]int{},
		exempt: map[string]int{}, reports: map[string]int{},
	}
}

func (s *summary) repeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeated++
}

func (s *summary) add(c *oneCase, seen *seen, violation error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cases++
	if violation != nil {
		s.violations = append(s.violations, c.String())
		return
	}
	if !seen.Hit {
		if seen.Came {
			s.exempt["hangs: "+objectHangs]++
		} else {
			s.missed++
		}
		return
	}
	s.points[fmt.Sprintf("%s/%s/%s/%d", c.setting.name, c.kind, c.call.name, c.nth)] = true
	s.kinds[c.kindOfFault()] = true
	what := "errno"
	if c.target().Errno == 0 {
		what = c.fault
	}
	s.byKind[c.kind+", "+what]++
	if !seen.Started {
		s.refused++
	} else if c.setting.report {
		s.reports[reportState(seen.Report)]++
	}
	if seen.Leaves > 0 {
		s.leaves++
	}
	if seen.Took > s.latest {
		s.latest, s.latestCase = seen.Took, c.String()
	}
}

// exempts counts a point that no hang is tried at.
func (s *summary) exempts(p *point) {
	if why := isExempt(p.kind, p.setting); why != "" && p.call.hangs {
		s.exempt["hangs of a "+p.kind+": "+why]++
	}
}

// reportState says how much a report tells.
func reportState(text string) string {
	var r struct {
		State   string   `json:"state"`
		Without []string `json:"without"`
	}
	switch err := json.Unmarshal([]byte(text), &r); {
	case text == "":
		return "missing"
	case err != nil:
		return "no JSON"
	case r.State != "ended":
		return "not final"
	case len(r.Without) > 0:
		return "final, and name what was missing"
	}
	return "final"
}

func (s *summary) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "faults: %d cases at %d of %d points, %d of %d kinds of fault (process, call, fault); "+
		"%d violations\n", s.cases, len(s.points), s.of[0], len(s.kinds), s.of[1], len(s.violations))
	fmt.Fprintf(&b, "  %d refused before the command started, %d missed, %d repeated, %d left a cgroup; the longest took "+
		"%v (%s)\n", s.refused, s.missed, s.repeated, s.leaves, s.latest.Round(time.Millisecond), s.latestCase)
	for _, t := range []struct {
		what string
		of   map[string]int
	}{{"cases: ", s.byKind}, {"reports were ", s.reports}, {"points not tried: ", s.exempt}} {
		for _, key := range slices.Sorted(maps.Keys(t.of)) {
			fmt.Fprintf(&b, "  %6d %s%s\n", t.of[key], t.what, key)
		}
	}
	for _, key := range s.violations {
		fmt.Fprintf(&b, "  again: make faults CASE=%s\n", key)
	}
	return b.String()
}
