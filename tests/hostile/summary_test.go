package hostile

import (
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
	rounds     map[string]int // by role and user
	attempts   map[string]int // by attack
	refused    map[string]int // of these
	missing    map[string]int
	violations int
	repeated   int
	latest     time.Duration
	latestSeed uint64
}

func (s *summary) repeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeated++
}

func (s *summary) add(e *evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rounds == nil {
		s.rounds, s.attempts = map[string]int{}, map[string]int{}
		s.refused, s.missing = map[string]int{}, map[string]int{}
	}
	s.rounds[e.Role+", "+e.User]++
	for _, l := range e.lines {
		switch l.Event {
		case "tried":
			s.attempts[l.Step.Attack] += l.Tries
			s.refused[l.Step.Attack] += l.Tries - l.Results["ok"]
		case "missing":
			s.missing[l.Text]++
		}
	}
	if e.violation != nil {
		s.violations++
	} else if late := e.late(); late > s.latest {
		s.latest, s.latestSeed = late, e.Seed
	}
}

func (s *summary) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	rounds, attempts := 0, 0
	for _, n := range s.rounds {
		rounds += n
	}
	for _, n := range s.attempts {
		attempts += n
	}
	fmt.Fprintf(
		&b,
		"hostile: %d rounds, %d attempts, %d violations, %d rounds repeated; ended at most %v after it was "+
			"due (seed %d)\n",
		rounds,
		attempts,
		s.violations,
		s.repeated,
		s.latest.Round(time.Millisecond),
		s.latestSeed,
	)
	for _, role := range slices.Sorted(maps.Keys(s.rounds)) {
		fmt.Fprintf(&b, "  %6d rounds as %s\n", s.rounds[role], role)
	}
	for _, name := range slices.Sorted(maps.Keys(s.attempts)) {
		fmt.Fprintf(&b, "  %9d attempts, %9d refused: %s\n", s.attempts[name], s.refused[name], name)
	}
	for _, what := range slices.Sorted(maps.Keys(s.missing)) {
		fmt.Fprintf(&b, "  not possible here: %s\n", what)
	}
	return b.String()
}
