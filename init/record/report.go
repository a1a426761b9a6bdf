package record

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// ReportSchema names the form of a report; docs/report.md and docs/report.schema.json describe it.
const ReportSchema = "finite.report/v1"

// The states of a report.
const (
	ReportStarted  = "started"  // the command runs
	ReportStopping = "stopping" // its end was asked for, or it has ended and what it left is ending
	ReportKilling  = "killing"  // SIGKILL was sent to everything
	ReportEnded    = "ended"    // nothing more will happen
)

// account is what a run has come to. The slices in it are only appended to by the owner.
type account struct {
	state  string
	at     time.Time
	args   []string
	dir    string // Config.Dir
	trees  []byte // the snapshots so far; empty: none
	result ending.Result
}

// report is a report, as it is written. Its keys are a contract.
type report struct {
	Schema     string           `json:"schema"`
	State      string           `json:"state"`
	Command    []string         `json:"command"`
	PID        int              `json:"pid,omitempty"`
	Role       string           `json:"role"`
	Started    string           `json:"started"`
	Ended      string           `json:"ended,omitempty"`
	ElapsedMS  float64          `json:"elapsed_ms"`
	Cause      *reportCause     `json:"cause,omitempty"`
	ExitStatus *int             `json:"exit_status,omitempty"`
	States     []reportState    `json:"states,omitempty"`
	Ladder     []reportRung     `json:"ladder,omitempty"`
	Reaped     *reportReaped    `json:"reaped,omitempty"`
	Signals    *reportSignals   `json:"signals,omitempty"`
	Survivors  []reportSurvivor `json:"survivors,omitempty"`
	GaveUp     bool             `json:"gave_up,omitempty"`
	OOMKills   int              `json:"oom_kills,omitempty"`
	Rusage     *reportRusage    `json:"rusage,omitempty"`
	Without    []string         `json:"without,omitempty"`
	Supervisor *reportStarts    `json:"supervisor,omitempty"`
	LogDropped int              `json:"log_dropped,omitempty"`
	Truncated  bool             `json:"truncated,omitempty"`
}

type reportCause struct {
	Kind       ending.Kind   `json:"kind"`
	ExitCode   *int          `json:"exit_code,omitempty"`
	Signal     string        `json:"signal,omitempty"`
	CoreDumped bool          `json:"core_dumped,omitempty"`
	Step       ending.Step   `json:"step,omitempty"`
	Error      string        `json:"error,omitempty"`
	By         *reportBy     `json:"by,omitempty"`
	Also       []ending.Kind `json:"also,omitempty"`
}

// reportStarts is there where a supervisor died, and another one went on.
type reportStarts struct {
	Starts int `json:"starts"`
}

type reportBy struct {
	Signal string `json:"signal,omitempty"`
	PID    int    `json:"pid,omitempty"`
	UID    *int   `json:"uid,omitempty"`
	Comm   string `json:"comm,omitempty"`
	From   string `json:"from,omitempty"`
}

type reportState struct {
	State string  `json:"state"`
	AtMS  float64 `json:"at_ms"`
}

type reportRung struct {
	Step   string  `json:"step"`
	AtMS   float64 `json:"at_ms"`
	Target string  `json:"target"`
	Result string  `json:"result"`
}

type reportReaped struct {
	Orphans             int `json:"orphans"`
	LeftoversTerminated int `json:"leftovers_terminated"`
	LeftoversKilled     int `json:"leftovers_killed"`
}

type reportSignals struct {
	Forwarded   int `json:"forwarded"`
	Undelivered int `json:"undelivered"`
}

type reportSurvivor struct {
	PID    int      `json:"pid"`
	Comm   string   `json:"comm"`
	State  string   `json:"state"`
	WChan  string   `json:"wchan,omitempty"`
	Stack  []string `json:"stack,omitempty"`
	Tracer int      `json:"tracer,omitempty"`
	UID    int      `json:"uid"`
	Why    string   `json:"why"`
}

type reportRusage struct {
	UserMS   float64 `json:"user_ms"`
	SystemMS float64 `json:"system_ms"`
	MaxRSSKB int64   `json:"max_rss_kb"`
}

// newReport makes a report of an account.
func newReport(s *account, self *Self) *report {
	res := &s.result
	args := s.args
	if args == nil {
		args = []string{} // a pause
	}
	r := &report{
		Schema: ReportSchema, State: s.state, Command: args, PID: res.PID, Role: res.Role.String(),
		Started:   stamp(res.Started),
		ElapsedMS: milliseconds(s.at.Sub(res.Started)), Cause: newReportCause(&res.Cause, self),
		GaveUp: res.GaveUp, OOMKills: res.Counts.OOMKills, Without: res.Without, LogDropped: res.Counts.LogDropped,
	}
	if res.SupervisorStarts > 1 {
		r.Supervisor = &reportStarts{res.SupervisorStarts}
	}
	if self.Planned && res.Role == nsutil.RoleInit {
		r.Role = "namespace"
	}
	if s.state == ReportEnded {
		r.Ended, r.ExitStatus = stamp(res.Ended), &res.ExitStatus
	}
	for _, s := range res.States {
		r.States = append(r.States, reportState{s.State, milliseconds(s.At)})
	}
	for _, rung := range res.Ladder {
		r.Ladder = append(r.Ladder, reportRung{rung.Step, milliseconds(rung.At), rung.Target, rung.Result})
	}
	c := &res.Counts
	if c.Orphans+c.LeftoversTerminated+c.LeftoversKilled > 0 {
		r.Reaped = &reportReaped{c.Orphans, c.LeftoversTerminated, c.LeftoversKilled}
	}
	if c.Forwarded+c.Undelivered > 0 {
		r.Signals = &reportSignals{c.Forwarded, c.Undelivered}
	}
	for i := range res.Survivors {
		v := &res.Survivors[i]
		r.Survivors = append(
			r.Survivors,
			reportSurvivor{v.PID, v.Comm, string(rune(v.State)), v.WChan, v.Stack, v.Tracer, v.UID, v.Why},
		)
	}
	if res.Cause.Known {
		u := &res.Rusage
		r.Rusage = &reportRusage{milliseconds(u.User), milliseconds(u.System), u.MaxRSS}
	}
	return r
}

func newReportCause(c *ending.Cause, self *Self) *reportCause {
	if c.Kind == "" {
		return nil // nothing has ended it so far
	}
	r := &reportCause{Kind: c.Kind, CoreDumped: c.CoreDumped, Step: c.Step, Also: c.Also}
	switch {
	case c.Known && c.Signal != 0:
		r.Signal = signals.Name(c.Signal)
	case c.Known:
		code := c.ExitCode
		r.ExitCode = &code
	}
	if c.Err != nil {
		r.Error = c.Err.Error()
	}
	if c.By.Signal != 0 {
		r.By = newReportBy(&c.By, self)
	}
	return r
}

func newReportBy(by *ending.By, self *Self) *reportBy {
	r := &reportBy{}
	if by.Signal != 0 {
		r.Signal = signals.Name(by.Signal)
	}
	s := &by.Sender
	switch {
	case !s.Known:
	case s.Kernel:
		r.From = "kernel"
	case s.Claimed:
		r.From = "claimed"
	case s.PID == self.PID:
		r.From = "self"
	case s.PID == 0 || self.Foreign:
		r.From = "outside"
	default:
		r.From = "inside"
	}
	if s.Known && !s.Kernel {
		uid := s.UID
		r.PID, r.UID, r.Comm = s.PID, &uid, s.Comm
	}
	return r
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// milliseconds is d in milliseconds, to the microsecond.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// encode returns the report as one line of JSON, of at most limit bytes if that is above 0: what is
// dropped for that is dropped in the order of cuts.
func (r *report) encode(limit int) []byte {
	text := r.marshal()
	if limit <= 0 {
		return text
	}
	for _, cut := range cuts {
		if len(text) <= limit {
			break
		}
		cut(r)
		r.Truncated = true
		text = r.marshal()
	}
	return text
}

func (r *report) marshal() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil { // there is nothing in it that cannot be encoded
		return []byte(`{"schema":"` + ReportSchema + `"}` + "\n")
	}
	return b.Bytes()
}

// cuts make a report shorter, the least interesting first. After the last one it fits in any limit
// that is in use.
var cuts = []func(*report){
	func(r *report) {
		for i := range r.Survivors {
			r.Survivors[i].Stack = nil
		}
	},
	func(r *report) { r.Ladder = r.Ladder[max(0, len(r.Ladder)-8):] },
	func(r *report) { r.Survivors = r.Survivors[:min(len(r.Survivors), 8)] },
	func(r *report) { r.Command = shorten(r.Command, 8, 100) },
	func(r *report) {
		if r.Cause != nil {
			r.Cause.Error = cutText(r.Cause.Error, 300)
		}
		for i := range r.Survivors {
			r.Survivors[i].Why = cutText(r.Survivors[i].Why, 100)
		}
	},
	func(r *report) { r.Ladder, r.States = nil, nil },
	func(r *report) { r.Command = shorten(r.Command, 1, 60) },
	func(r *report) { r.Survivors = r.Survivors[:min(len(r.Survivors), 1)] },
}

// shorten returns the first words of list, each cut.
func shorten(list []string, words, length int) []string {
	short := make([]string, min(len(list), words))
	for i := range short {
		short[i] = cutText(list[i], length)
	}
	return short
}

// cutText cuts s to at most length bytes, and not within a character. What is not UTF-8, or is
// escaped in JSON, is replaced first: it would be longer there.
func cutText(s string, length int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || r == '"' || r == '\\' || r == '\u2028' || r == '\u2029' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
	if len(s) <= length {
		return s
	}
	for length > 0 && !utf8.RuneStart(s[length]) {
		length--
	}
	return s[:length]
}
