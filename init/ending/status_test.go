package ending

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write generated files")

// How a command can have ended, and what finite exits with, for every combination of options that
// has a say in it. The document is this test's table.
func TestExitStatusTable(t *testing.T) {
	endings := []struct {
		name  string
		cause Cause
	}{
		{"exits with 0", Cause{Kind: KindExited, Known: true}},
		{"exits with 3", Cause{Kind: KindExited, Known: true, ExitCode: 3}},
		{"ended by SIGKILL, not finite's", Cause{Kind: KindSignaled, Known: true, Signal: unix.SIGKILL}},
		{"stop requested, exits with 3", Cause{Kind: KindStopRequested, Known: true, ExitCode: 3}},
		{"stop requested, ended by SIGTERM", Cause{Kind: KindStopRequested, Known: true, Signal: unix.SIGTERM}},
		{"lifeline, exits with 3", Cause{Kind: KindLifeline, Known: true, ExitCode: 3}},
		{"deadline, exits with 3", Cause{Kind: KindDeadline, Known: true, ExitCode: 3}},
		{"deadline, ended by SIGKILL", Cause{Kind: KindDeadline, Known: true, Signal: unix.SIGKILL}},
		{"deadline, cannot be reaped", Cause{Kind: KindDeadline}},
	}
	columns := []struct {
		name string
		set  func(*Policy)
		want []int
	}{
		{"–", func(*Policy) {}, []int{0, 3, 137, 3, 143, 3, 124, 124, 124}},
		{"`-e 3`", func(c *Policy) { c.Expect = []int{3} }, []int{0, 0, 137, 0, 143, 0, 124, 124, 124}},
		{"`-e 137`", func(c *Policy) { c.Expect = []int{137} }, []int{0, 3, 0, 3, 143, 3, 124, 124, 124}},
		{"`--stop-exit 3`", func(c *Policy) { c.StopExit = []int{3} }, []int{0, 3, 137, 0, 143, 0, 124, 124, 124}},
		{
			"`--stop-exit 143`",
			func(c *Policy) { c.StopExit = []int{143} },
			[]int{0, 3, 137, 3, 0, 3, 124, 124, 124},
		},
		{"`--timeout-exit 9`", func(c *Policy) { c.TimeoutExit = 9 }, []int{0, 3, 137, 3, 143, 3, 9, 9, 9}},
		{"`--timeout-exit 0`", func(c *Policy) { c.TimeoutExit = 0 }, []int{0, 3, 137, 3, 143, 3, 0, 0, 0}},
		{
			"`--preserve-status`",
			func(c *Policy) { c.PreserveStatus = true },
			[]int{0, 3, 137, 3, 143, 3, 3, 137, 137},
		},
		{
			"`--preserve-status -e 3`",
			func(c *Policy) { c.PreserveStatus, c.Expect = true, []int{3} },
			[]int{0, 0, 137, 0, 143, 0, 0, 137, 137},
		},
		{
			"`--preserve-status --stop-exit 3`",
			func(c *Policy) { c.PreserveStatus, c.StopExit = true, []int{3} },
			[]int{0, 3, 137, 0, 143, 0, 3, 137, 137},
		},
		{
			"`--preserve-status --timeout-exit 9`",
			func(c *Policy) { c.PreserveStatus, c.TimeoutExit = true, 9 },
			[]int{0, 3, 137, 3, 143, 3, 3, 137, 137},
		},
	}
	var b strings.Builder
	b.WriteString(
		"# Exit status\n\nWhat finite exits with, by how the command ended and the options that have a say in it. Statuses of finite's own (125, 126, 127, and 128+n " +
			"for a stop\nsignal that comes before the command) are not changed by any of them. This table is " +
			"written by the test that checks it: `go test ./init/ending -update`.\n\n| the command |",
	)
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for i, e := range endings {
		fmt.Fprintf(&b, "| %s |", e.name)
		for _, c := range columns {
			got := policyWith(c.set).ExitStatus(e.cause, true)
			if got != c.want[i] {
				t.Errorf("%s, %s: %d, want %d", e.name, c.name, got, c.want[i])
			}
			fmt.Fprintf(&b, " %d |", got)
		}
		b.WriteString("\n")
	}
	const file = "../../docs/exit-status.md"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != b.String() {
		t.Errorf("%s is not what go test ./init/ending -update writes (%v)", file, err)
	}
}

func policyWith(set func(*Policy)) *Policy {
	p := Policy{TimeoutExit: DefaultTimeoutExit, StopSignal: DefaultStopSignal}
	set(&p)
	return &p
}
