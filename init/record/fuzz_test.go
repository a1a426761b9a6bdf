package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/reap"
)

// checkTimeline says what is wrong with a timeline for a terminal of so many columns.
func checkTimeline(t *testing.T, drawn string, width int) {
	t.Helper()
	width = max(width, minTimelineWidth)
	for line := range strings.Lines(drawn) {
		line = strings.NewReplacer("\n", "", "█", "#", "░", "=").Replace(line) // of one column
		if text.Width(line) > width {
			t.Fatalf("%d columns, of %d: %q", text.Width(line), width, line)
		}
		if strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Fatalf("%q", line)
		}
	}
}

// Whatever is said to be a report, its timeline has lines that fit, a few for each of its parts,
// and writes nothing else to the terminal.
func FuzzTimeline(f *testing.F) {
	f.Add(timelineReport(), uint16(80))
	for _, report := range []string{
		`{"schema":"finite.report/v1","elapsed_ms":-1,"states":[{"state":"running","at_ms":1e300}]}`,
		`{"schema":"finite.report/v1","elapsed_ms":1e-320,"states":[{"state":"ended","at_ms":1e300},{}]}`,
		`{"schema":"finite.report/v1","command":["\u001b[2J\n"],"survivors":[{"comm":"日本\u202e","why":"\r"}]}`,
		`{"schema":"finite.report/v1","ladder":[{"at_ms":-1e300},{"step":"\u0000"}],"states":[{"state":"running"}]}`,
		`{"schema":"finite.report/v1","cause":{"by":{"from":"inside","pid":-1},"also":["\t"]},"exit_status":-9}`,
	} {
		f.Add([]byte(report), uint16(40))
	}
	f.Fuzz(func(t *testing.T, report []byte, width uint16) {
		columns := int(width) % 1000
		for _, unicode := range []bool{false, true} {
			drawn, err := Timeline(report, text.Style{Width: columns, Unicode: unicode})
			if err != nil {
				return
			}
			checkTimeline(t, drawn, columns)
			r, err := parts(report)
			if n := strings.Count(drawn, "\n"); n > 3+len(r.States)+len(r.Ladder)+len(r.Survivors) || err != nil {
				t.Fatalf("%d lines of %s, %v", n, report, err)
			}
		}
	})
}

// parts are what a report has.
func parts(text []byte) (r report, err error) {
	err = json.Unmarshal(text, &r)
	return r, err
}

// A bar stays in its columns, and of two times the later one is not drawn in front.
func FuzzColumn(f *testing.F) {
	f.Add(1.0, 0.5, 10.0, uint8(40))
	f.Add(1e300, 2.0, 1.0, uint8(10))
	f.Add(-1e300, 1e300, 1e-320, uint8(10))
	f.Add(5e-324, math.MaxFloat64, 5e-324, uint8(255))
	f.Fuzz(func(t *testing.T, first, second, total float64, room uint8) {
		for _, ms := range []float64{first, second, total} {
			if math.IsNaN(ms) || math.IsInf(ms, 0) { // which JSON has not
				return
			}
		}
		columns := 1 + int(room)
		p := plot{total: total}
		a, b := p.column(min(first, second), columns), p.column(max(first, second), columns)
		if a < 0 || b >= columns || a > b {
			t.Fatalf("%g and %g of %g are in the columns %d and %d of %d", first, second, total, a, b, columns)
		}
		if total > 0 && p.column(total, columns) != columns-1 {
			t.Fatalf("%g of %[1]g is in column %d of %d", total, p.column(total, columns), columns)
		}
		early, late := plotTime(min(first, second)), plotTime(max(first, second))
		if first >= 0 && second >= 0 && (strings.HasPrefix(early, "-") || strings.HasPrefix(late, "-")) {
			t.Fatalf("%g and %g: %q, %q", first, second, early, late)
		}
	})
}

// Whatever names others chose, a report is one line of JSON that gives them back, fits where room
// is limited, and can be drawn.
func FuzzReport(f *testing.F) {
	f.Add("job\x00-v", "sh", "no such file", "stuck", int64(time.Second), 9)
	f.Add("\xff\u2028\"\\", "a\nb\x1b", strings.Repeat("\x01", 2000), strings.Repeat("é", 3000), int64(math.MinInt64), -1)
	f.Add(strings.Repeat("x\x00", 300), "", "", "", int64(math.MaxInt64), 1<<31)
	f.Fuzz(func(t *testing.T, args, comm, failure, why string, at int64, number int) {
		s := fullAccount()
		s.args = strings.Split(args, "\x00")
		s.result.Cause.Err = errors.New(failure)
		s.result.Cause.By.Sender.Comm, s.result.Cause.By.Sender.PID = comm, number
		s.result.Survivors[0].Comm, s.result.Survivors[0].Why = comm, why
		s.result.Survivors[0].State = byte(number)
		s.result.States = []ending.StateChange{{State: why, At: time.Duration(at)}}
		for _, limit := range []int{0, inPlaceLimit} {
			line := newReport(s, &Self{}).encode(limit)
			var r report
			if err := json.Unmarshal(line, &r); err != nil || strings.Count(string(line), "\n") != 1 {
				t.Fatalf("%v in %q", err, line)
			}
			if limit > 0 && len(line) > limit {
				t.Fatalf("%d bytes: %q", len(line), line)
			}
			if utf8.ValidString(comm) && !r.Truncated && (r.Survivors[0].Comm != comm || r.Cause.By.Comm != comm) {
				t.Fatalf("%q is %q", comm, r.Survivors[0].Comm)
			}
			drawn, err := Timeline(line, text.Style{Width: 80})
			if err != nil {
				t.Fatalf("%v of %s", err, line)
			}
			checkTimeline(t, drawn, 80)
		}
	})
}

// Whatever a child is called and how it has ended, its event is a line of JSON, or a part of an
// array.
func FuzzEvent(f *testing.F) {
	f.Add("reaped", "sh", int32(1), 3, 7, int64(5))
	f.Add("signal", "a\nb", int32(2), 9, -1, int64(1<<62))
	f.Add("exited", "\xff\x00\"", int32(-7), 1<<30, 0, int64(-1))
	f.Add("state", "", int32(3), 64, 1<<22, int64(0))
	f.Fuzz(func(t *testing.T, kind, comm string, code int32, status, pid int, start int64) {
		change := reap.Change{PID: pid, Code: reap.Code(code), Status: status}
		lines := &eventLog{start: time.Now()}
		array := &eventLog{start: lines.start, tracer: newTracer()}
		for _, l := range []*eventLog{lines, array} {
			l.ended(kind, &change, comm, start)
			l.stopped(&change)
			l.add(Event{Event: kind, Why: comm, Step: comm, To: comm})
		}
		words := strings.Split(strings.TrimSuffix(string(lines.text), "\n"), "\n")
		if len(words) != 3 {
			t.Fatalf("%d lines: %q", len(words), lines.text)
		}
		for _, line := range words {
			var e Event
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.LivedMS != nil && *e.LivedMS < 0 {
				t.Fatalf("%v in %q", err, line)
			}
		}
		if all := array.tracer.end(array.text); !json.Valid(all) {
			t.Fatalf("%s", all)
		}
		var first Event
		_ = json.Unmarshal([]byte(words[0]), &first)
		if start != 0 && utf8.ValidString(comm) && first.Comm != comm || first.PID != pid {
			t.Fatalf("%+v of %q", first, fmt.Sprint(comm, pid))
		}
	})
}
