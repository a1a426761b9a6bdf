package hostile

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/finite-init/finite/tests/hostile/plan"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// round is everything about a round that is chosen. Times are milliseconds.
type round struct {
	Seed     uint64
	Role     string
	User     string
	Timeout  int // 0: there is no deadline
	Grace    int
	Report   bool   `json:",omitempty"`
	State    bool   `json:",omitempty"`
	Cgroup   bool   `json:",omitempty"` // a delegated cgroup, and --cgroup auto
	Pinned   bool   `json:",omitempty"` // to one processor, so that the command runs before finite does again
	Kills    string `json:",omitempty"` // the command kills the front or the keeper
	End      string
	Exit     int `json:",omitempty"`
	Command  []plan.Step
	Leftover []plan.Step
}

func (r *round) String() string {
	text, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// protected reports whether finite is out of reach of its own user.
func (r *round) protected() bool { return r.Role != asInit || r.Timeout > 0 }

// limited reports whether a deadline ends the command.
func (r *round) limited() bool { return r.End != "exit" && r.Kills == "" && r.Timeout > 0 }

// steps are all of them.
func (r *round) steps() []plan.Step { return append(slices.Clone(r.Command), r.Leftover...) }

// has reports whether there is a step with such an attack.
func (r *round) has(so func(*attack) bool) bool {
	return slices.ContainsFunc(r.steps(), func(s plan.Step) bool { return so(attackNamed(s.Attack)) })
}

// spoilt reports whether supervisors, or what they write, may be prevented.
func (r *round) spoilt() bool {
	return slices.ContainsFunc(r.steps(), func(s plan.Step) bool {
		a := attackNamed(s.Attack)
		return a.spoils || s.Target == "supervisor" || a.signals && (s.Target == "all" || s.Target == "")
	})
}

// dice is where a round's choices come from.
type dice struct{ *rand.Rand }

func (d dice) one(in int) bool           { return d.IntN(in) == 0 }
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

const (
	longDeadline  = 60000 // one that does not come
	shortDeadline = 1000
)

// newRound draws the round of a seed.
func newRound(seed uint64) *round {
	d := dice{rand.New(rand.NewPCG(seed, 0x686f7374696c65))}
	r := &round{Seed: seed, Role: pick(d, roles...).name, User: pick(d, users...).name}
	r.Grace = pick(d, 0, 100, 200, 300)
	r.Report, r.State, r.Cgroup = d.one(2), d.one(4), d.one(4)
	if d.one(2) {
		r.End, r.Timeout = pick(d, "sleep", "sleep", "stop"), d.between(shortDeadline, 2*shortDeadline)
	} else {
		r.End, r.Timeout, r.Exit = "exit", pick(d, 0, longDeadline), d.between(1, 99)
	}
	if r.Role != asInit && !roleNamed(r.Role).apart && d.one(5) {
		r.Kills, r.End = pick(d, "front", "keeper"), "sleep"
	}
	for range d.between(1, 4) {
		r.add(d, &r.Command, false)
	}
	for range d.between(0, 3) {
		r.add(d, &r.Leftover, true)
	}
	r.Pinned = d.one(4)
	if r.Kills != "" {
		r.Command = append(r.Command, plan.Step{Attack: "kill", Target: r.Kills})
	}
	return r
}

// add draws a step that is possible beside the others.
func (r *round) add(d dice, to *[]plan.Step, leftover bool) {
	for range 20 {
		a := &attacks[d.IntN(len(attacks))]
		s := plan.Step{Attack: a.name}
		if len(a.targets) > 0 {
			s.Target = pick(d, a.targets...)
		}
		if a.fits(r, s, leftover) {
			*to = append(*to, s)
			return
		}
	}
}

// options are finite's.
func (r *round) options(records string) []string {
	ms := func(n int) string {
		return testkit.Stretch(fmt.Sprintf("%dms", n))
	}
	args := []string{"-k", ms(r.Grace)}
	if r.Role == asNamespace {
		args = append(args, "--unshare", userNamed(r.User).namespaces())
	}
	if r.Timeout > 0 {
		args = append(args, "-t", ms(r.Timeout))
	}
	if r.Report {
		args = append(args, "--report", filepath.Join(records, "report"))
	}
	if r.State {
		args = append(args, "--state-file", filepath.Join(records, "state"))
	}
	if r.Cgroup {
		args = append(args, "--cgroup", "auto")
	}
	return args
}

// A seed that is printed plays the same round again.
func TestRoundIsAFunctionOfItsSeed(t *testing.T) {
	testkit.CheckSeeds(t, func(seed uint64) string { return newRound(seed).String() })
}
