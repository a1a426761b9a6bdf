package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/finite-init/finite/tests/hostile/plan"
	"github.com/finite-init/finite/tests/internal/testkit"
)

const (
	margin    = 2 * time.Second  // that finite may take over what is due
	harassed  = 12 * time.Second // and where supervisors are killed, stopped and starved, one after the other
	heldTime  = time.Second      // how long a command that is dead may take until it can be waited for
	continued = time.Second      // until who is stopped is continued, after a deadline

	keeperKilled = "finite: the keeper was killed: SIGKILL to everything that is left\n"
)

// violations are what is wrong.
type violations []string

func (v *violations) add(format string, args ...any) { *v = append(*v, fmt.Sprintf(format, args...)) }

// check holds what was seen against the contract.
func (e *evidence) check() error {
	var v violations
	e.checkCommand(&v)
	e.checkStatus(&v)
	e.checkTime(&v)
	e.checkLeft(&v)
	e.checkReport(&v)
	if e.victim != untouched {
		v.add("a file that is none of finite's business was written: %q", e.victim)
	}
	if strings.Contains(e.stderr, "cage:") || strings.Contains(e.stderr, "internal error") {
		v.add("on stderr")
	}
	if len(v) > 0 {
		return fmt.Errorf("violation: %s", strings.Join(v, "; "))
	}
	return nil
}

// count is how often something was said by the attacker.
func (e *evidence) count(event string) (n int) {
	for _, l := range e.lines {
		if l.Event == event {
			n++
		}
	}
	return n
}

// at is when something was said last, 0 if it was not.
func (e *evidence) at(event string) (at int64) {
	for _, l := range e.lines {
		if l.Event == event {
			at = l.At
		}
	}
	return at
}

// checkCommand: the command was started once, and has got at nothing.
func (e *evidence) checkCommand(v *violations) {
	if n := e.count("started"); n != 1 {
		v.add("the command was started %d times", n)
	}
	for _, l := range e.lines {
		if l.Event == "breach" {
			v.add("breach by %q: %s", l.Step.Attack, l.Text)
		}
	}
}

// deadline is the time of the deadline on this machine.
func (e *evidence) deadline() time.Duration {
	return testkit.Stretched(time.Duration(e.Timeout) * time.Millisecond)
}

func (e *evidence) checkStatus(v *violations) {
	late := e.Timeout > 0 && plan.Between(e.Began, e.Ended) >= e.deadline()
	var want []int
	switch {
	case e.Kills == "front":
		want = []int{-9}
	case e.Kills == "keeper":
		if want = []int{125}; late {
			want = append(want, 124)
		}
	case e.End == "exit":
		want = []int{e.Exit}
	default:
		want = []int{124}
	}
	// The deadline of a command that a slow machine gave no time.
	if late && e.Kills != "" && e.at("ending") == 0 {
		want = append(want, 124)
	}
	if !slices.Contains(want, e.Status) {
		v.add("status %d, want %d", e.Status, want)
	}
	if e.Status == 124 && !late {
		v.add("status 124 after %v", plan.Between(e.Began, e.Ended))
	}
	if (e.Status == 125) != strings.Contains(e.stderr, keeperKilled) && e.Status != 124 {
		v.add("status %d, stderr %q", e.Status, e.stderr)
	}
}

// due is when it is to have ended.
func (e *evidence) due() int64 {
	grace := testkit.Stretched(time.Duration(e.Grace) * time.Millisecond)
	switch {
	case e.Kills != "":
		return max(e.at("ending"), e.at("tried"))
	case e.End == "exit":
		return e.at("ending") + int64(grace)
	}
	return e.at("started") + int64(e.deadline()+grace)
}

// patience is how much later it may be.
func (e *evidence) patience() time.Duration {
	limit := margin
	if e.spoilt() || e.has(func(a *attack) bool { return a.starves }) {
		limit += harassed
	}
	if e.has(func(a *attack) bool { return a.left }) {
		limit += heldTime
	}
	if e.has(func(a *attack) bool { return a.once }) {
		limit += continued
	}
	return testkit.Stretched(limit)
}

// late is how much later it was.
func (e *evidence) late() time.Duration { return plan.Between(e.due(), e.Ended) }

func (e *evidence) checkTime(v *violations) {
	if late := e.late(); late > e.patience() {
		v.add("ended %v after it was due", late.Round(time.Millisecond))
	}
	if e.Kills == "front" && plan.Between(e.due(), e.Gone) > e.patience() {
		v.add("the tree was gone %v after the front", plan.Between(e.Ended, e.Gone))
	}
}

// checkLeft: nobody is left. Where the front was killed they get the time that the keeper takes.
func (e *evidence) checkLeft(v *violations) {
	if len(e.Left) > 0 && e.Kills != "front" {
		v.add("left: %+v", e.Left)
	}
	if len(e.Ghosts) > 0 {
		v.add("never gone: %+v", e.Ghosts)
	}
	if len(e.leaves) > 0 && e.Kills == "" && !e.spoilt() {
		v.add("cgroups are left: %v", e.leaves)
	}
}

// report is what is read of a report.
type report struct {
	State      string   `json:"state"`
	PID        int      `json:"pid"`
	Command    []string `json:"command"`
	ExitStatus *int     `json:"exit_status"`
	Cause      struct {
		Kind string   `json:"kind"`
		Exit *int     `json:"exit_code"`
		Also []string `json:"also"`
	} `json:"cause"`
}

var reportSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	return jsonschema.NewCompiler().Compile("../../docs/report.schema.json")
})

// checkReport: the report is of the schema and true, or it is not the last one, and that is said.
func (e *evidence) checkReport(v *violations) {
	if !e.Report {
		return
	}
	var r report
	if len(e.report) > 0 {
		e.validate(v)
		if err := json.Unmarshal(e.report, &r); err != nil {
			return // the schema has said so
		}
	}
	if r.State != "ended" {
		e.checkLost(v, r.State)
		return
	}
	if r.ExitStatus == nil || e.Status >= 0 && *r.ExitStatus != e.Status {
		v.add("the report is not that of this end")
	}
	if started := e.startedPID(); r.PID != started {
		v.add("the report is about process %d, the command was %d", r.PID, started)
	}
	if !slices.Equal(r.Command, []string{attackerBin}) {
		v.add("the report is about the command %q", r.Command)
	}
	kinds := []string{"exited", "stop-requested"}
	switch {
	case e.Kills == "front":
		kinds = []string{"finite-killed", "stop-requested", "deadline"}
	case e.Status == 124:
		kinds = []string{"deadline"}
	}
	if !slices.Contains(kinds, r.Cause.Kind) &&
		!slices.ContainsFunc(r.Cause.Also, func(k string) bool { return slices.Contains(kinds, k) }) {
		v.add("cause %q, want %q", r.Cause.Kind, kinds)
	}
	if e.End == "exit" && (r.Cause.Exit == nil || *r.Cause.Exit != e.Exit) {
		v.add("the report has another exit code")
	}
}

// validate holds the report against its schema.
func (e *evidence) validate(v *violations) {
	schema, err := reportSchema()
	if err != nil {
		v.add("%v", err)
		return
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(e.report))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		v.add("the report is none: %v", err)
	}
}

// checkLost: a report that is not final is what an attack can bring about, and stderr says so.
func (e *evidence) checkLost(v *violations, state string) {
	said := []string{"cannot write", "the supervisor cannot run", "the keeper was killed"}
	switch {
	case e.Kills == "" && !e.spoilt():
		v.add("the report is not final: %q", state)
	case e.Kills != "front" &&
		!slices.ContainsFunc(said, func(s string) bool { return strings.Contains(e.stderr, s) }):
		v.add("the report is not final (%q), and nothing is said of it", state)
	}
}

func (e *evidence) startedPID() int {
	for _, l := range e.lines {
		if l.Event == "started" {
			return l.PID
		}
	}
	return 0
}
