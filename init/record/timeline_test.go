package record

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/finite-init/finite/init/ending"

	"github.com/finite-init/finite/internal/text"
)

func timelineReport() []byte {
	s := fullAccount()
	s.result.States = []ending.StateChange{
		{State: "running", At: time.Millisecond},
		{State: "stopping", At: 30 * time.Second},
		{State: "leftovers", At: 31 * time.Second},
		{State: "killing", At: 35 * time.Second},
		{State: "ended", At: 35 * time.Second},
	}
	return newReport(s, &Self{}).encode(0)
}

func TestTimeline(t *testing.T) {
	const want = `./job <&>?
ended, deadline by SIGTERM from sh (pid 9), then stop-requested, exit status ...
init, pid 7, started 2026-11-20T10:00:00.123Z
   0.001 s  running             =========================================
  30.000 s  stopping                                                     #
  30.000 s  SIGTERM to child                                             |
  31.000 s  leftovers                                                     #####
  35.000 s  killing                                                            #
  35.000 s  tree to all                                                        |
  35.000 s  ended                                                              |
left: pid 9 (cat, state D, uid 0): stuck
`
	got, err := Timeline(timelineReport(), text.Style{Width: 80})
	if err != nil || got != want {
		t.Errorf("got %v\n%s\nwant\n%s", err, got, want)
	}
	got, err = Timeline(timelineReport(), text.Style{Width: 80, Colour: true, Unicode: true})
	if err != nil || !strings.Contains(got, "\x1b[32m░░") || !strings.Contains(got, "\x1b[33m█\x1b[0m\n") ||
		!strings.Contains(got, "\x1b[31m█\x1b[0m\n") {
		t.Errorf("got %v\n%s", err, got)
	}
}

func TestTimelineFits(t *testing.T) {
	for width := range 200 {
		got, err := Timeline(timelineReport(), text.Style{Width: width, Unicode: width%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(got) {
			if n := utf8.RuneCountInString(line) - 1; n > max(width, minTimelineWidth) {
				t.Errorf("width %d: %d columns: %s", width, n, line)
			}
		}
	}
}

func TestTimelineOfSomethingElse(t *testing.T) {
	for _, report := range []string{"", "{}", "[]", `{"schema":"finite.report/v2"}`} {
		if got, err := Timeline([]byte(report), text.Style{}); err == nil ||
			!strings.HasPrefix(err.Error(), "not a report: ") {
			t.Errorf("%q: got %q, %v", report, got, err)
		}
	}
}
