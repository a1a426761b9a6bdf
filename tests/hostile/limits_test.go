package hostile

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/hostile/plan"
	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

var tableFlag = flag.Bool("hostile.table", false,
	"measure what no init prevents, beside its peers, and write the table into docs/security.md")

// subject is an init as it is measured.
type subject struct {
	name    string
	role    string
	args    []string
	program string // on PATH; empty: finite
	limited bool   // it has a deadline, and the command never ends; else that exits with 7
}

var subjects = []subject{
	{name: "finite -t 3s", role: asSubreaper, args: []string{"-t", "3s", "-k", "100ms", "--"}, limited: true},
	{
		name:    "finite -t 3s as PID 1",
		role:    asInit,
		args:    []string{"-t", "3s", "-k", "100ms", "--"},
		limited: true,
	},
	{name: "tini -s", role: asSubreaper, program: "tini", args: []string{"-s", "--"}},
	{name: "dumb-init", role: asSubreaper, program: "dumb-init", args: []string{"--"}},
	{name: "timeout 3", role: asSubreaper, program: "timeout", args: []string{"-k", "0.1", "3"}, limited: true},
}

// limit is something that a command can do to every init. The command does it, or what it leaves
// does, again and again.
type limit struct {
	what     string
	command  []plan.Step
	leftover []plan.Step
	cgroup   bool
}

func all(attack string) []plan.Step { return []plan.Step{{Attack: attack, Target: "all"}} }

var limits = []limit{
	{what: "nothing"},
	{what: "SIGSTOP to each of its processes, once", command: all("stop")},
	{
		what:    "SIGKILL to the process that the caller waits for",
		command: []plan.Step{{Attack: "kill", Target: "front"}},
	},
	{what: "SIGKILL to the command's parent", command: []plan.Step{{Attack: "kill", Target: "keeper"}}},
	{what: "all limits but those of time and files set to 0 (prlimit(2))", command: all("limits")},
	{what: "SIGKILL to all of its processes at the same moment", command: all("kill together")},
	{what: "SIGKILL to every process of the user (kill(-1))", command: all("kill everybody")},
	{what: "SIGSTOP to all of its processes in a loop", leftover: all("stop")},
	{what: "RLIMIT_CPU of 1 s, and a flood of signals", command: all("limit time"), leftover: all("flood")},
	{what: "`cgroup.freeze` of a cgroup that is delegated", command: all("freeze"), cgroup: true},
	{what: "`cgroup.kill` of a cgroup that is delegated", command: all("kill cgroup"), cgroup: true},
}

// TestLimits measures what is in docs/security.md, where that is asked for.
func TestLimits(t *testing.T) {
	if !*tableFlag {
		return
	}
	needRoot(t)
	cells := make([][]string, len(limits))
	var wg sync.WaitGroup
	next := make(chan func())
	for range *atOnceFlag {
		wg.Go(func() {
			for measure := range next {
				measure()
			}
		})
	}
	for i, l := range limits {
		cells[i] = make([]string, len(subjects))
		for k, s := range subjects {
			next <- func() { cells[i][k] = measure(t, l, s) }
		}
	}
	close(next)
	wg.Wait()
	var b strings.Builder
	b.WriteString("| what the command does |")
	for _, s := range subjects {
		fmt.Fprintf(&b, " `%s` |", s.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(subjects)) + "\n")
	for i, l := range limits {
		fmt.Fprintf(&b, "| %s | %s |\n", l.what, strings.Join(cells[i], " | "))
	}
	fmt.Print(b.String())
	writeTable(t, b.String())
}

// measure plays one cell. Nobody is waited for longer than it takes to see that nothing happens.
func measure(t *testing.T, l limit, s subject) string {
	t.Helper()
	const uid = 65534
	dir := openDir(t, uid)
	o := order{Role: s.role, User: "nobody", Patience: testkit.Stretched(500 * time.Millisecond)}
	o.Plan = plan.Plan{
		Seed:     1,
		Command:  l.command,
		Leftover: l.leftover,
		End:      "exit",
		Exit:     7,
		Log:      filepath.Join(dir, "log"),
	}
	if s.limited {
		o.Plan.End = "sleep"
	}
	giveFile(t, o.Plan.Log, "", uid)
	program := cage.Finite
	if s.program != "" {
		var err error
		if program, err = exec.LookPath(s.program); err != nil {
			testkit.Missing(t, "%s is not installed", s.program)
		}
	}
	args := strings.Split(testkit.Stretch(strings.Join(s.args, " ")), " ")
	o.Args = append(append([]string{program}, args...), attackerBin)
	var place func(*exec.Cmd)
	if l.cgroup {
		o.Plan.Cgroup = delegated(t, uid)
		place = testkit.Within(t, o.Plan.Cgroup)
	}
	seen, _, err := runCage(t, o, place, testkit.Stretched(12*time.Second))
	switch {
	case err != nil:
		return "**does not end**"
	case len(seen.Left) > 0 && len(seen.Ghosts) > 0:
		return fmt.Sprintf("%s, **%d are left**", statusText(seen.Status), len(seen.Ghosts))
	}
	return statusText(seen.Status)
}

func statusText(status int) string {
	if status < 0 {
		return "killed"
	}
	return fmt.Sprintf("ends, %d", status)
}

// writeTable puts the table between its marks.
func writeTable(t *testing.T, table string) {
	t.Helper()
	const file, begin, end = "../../docs/security.md", "<!-- measured -->\n", "<!-- /measured -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found1 := strings.Cut(string(text), begin)
	_, after, found2 := strings.Cut(rest, end)
	if !found1 || !found2 {
		t.Fatalf("no marks in %s", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
