package inspect

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/text"
)

// sample has a tree of some depth and everything that the summary says.
func sample() *Inspection {
	r := &Inspection{
		Schema: Schema, At: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), PID: 10,
		PIDLimits: []PIDLimit{
			{Dir: "/c", Max: 100, Current: 95, Zombies: 7, Refused: 1, NearlyFull: true},
			{Dir: "/d", Max: 9, Current: 1},
		},
		KernelThreads: 2, Unreadable: 1, HidePID: "invisible", Left: 4, Incomplete: true,
	}
	add := func(pid, ppid, depth int, comm, state string, l level, verdict string) *Inspected {
		r.Processes = append(r.Processes, Inspected{
			Process: Process{
				PID: pid, PPID: ppid, Comm: comm, State: state, Threads: 1, Depth: depth, Timed: true,
				Age: 61 * time.Second,
			},
			Verdict: verdict, level: l, Stuck: l == stuck,
		})
		return &r.Processes[len(r.Processes)-1]
	}
	root := add(10, 1, 0, "sh", "S", plain, "waiting in do_wait for a child")
	root.Caught, root.Ignored = mask(unix.SIGTERM), ^SignalNames(0)
	root.Blocked = ^mask(unix.SIGKILL, unix.SIGSTOP, unix.SIGHUP)
	cat := add(11, 10, 1, "日本\x1b", "D", stuck,
		"uninterruptible in request_wait_answer (a FUSE file system does not answer)")
	cat.Stack = []string{
		"request_wait_answer+0x1/0x2", "fuse_read+0x1/0x2", "do_syscall_64+0x1/0x2", "entry+0x1/0x2",
	}
	cat.StuckThreads = []StuckThread{
		{5, "w", "D", "f"},
		{6, "w", "D", "f"},
		{7, "w", "D", "f"},
		{8, "w", "D", "f"},
		{9, "w", "D", "f"},
		{10, "w", "D", "f"},
	}
	cat.ParentComm, cat.NSpid, cat.Tracer = "sh", []int{11, 2, 1}, 3
	cat.Cgroup, cat.Hangs = "/x", []string{"stat"}
	add(12, 11, 2, "below", "S", wary, "ignores SIGTERM")
	zombies := Unreaped{Parent: 10, Comm: "sh"}
	for pid := 20; pid < 27; pid++ {
		add(pid, 10, 1, "z", "Z", stuck, "dead, but its parent sh (pid 10) has not reaped it")
		zombies.PIDs = append(zombies.PIDs, pid)
	}
	r.Zombies = []Unreaped{zombies, {PIDs: []int{3}}}
	add(30, 10, 1, "last", "R", plain, "running")
	return r
}

func TestInspectText(t *testing.T) {
	const want = `    PID S COMMAND      WHY IT HAS NOT ENDED
     10 S sh           waiting in do_wait for a child
          |      uid 0, parent (pid 1), age 1m1s, cpu 0s
          |      signals: blocked all but HUP; ignored all; caught TERM
     11 D |- ???       uninterruptible in request_wait_answer (a FUSE file system does not answer)
          |  |      uid 0, parent sh (pid 10), pid inside 2 1, tracer (pid 3), age 1m1s, cpu 0s, cgroup /x
          |  |      thread 5 D w, in f
          |  |      thread 6 D w, in f
          |  |      thread 7 D w, in f
          |  |      thread 8 D w, in f
          |  |      thread 9 D w, in f
          |  |      1 more thread like these
          |  |      stack: request_wait_answer < fuse_read
          |  |      does not answer: /proc/11/stat
     12 S |  ` + "`- below" + `  ignores SIGTERM
     20 Z |- z         dead, but its parent sh (pid 10) has not reaped it
     21 Z |- z         dead, but its parent sh (pid 10) has not reaped it
     22 Z |- z         dead, but its parent sh (pid 10) has not reaped it
      - Z |- and 4 more zombies
     30 R ` + "`- last      " + `running
stuck: 8 of 11 processes
sh (pid 10) has not reaped 7 zombies
a parent outside this PID namespace has not reaped 1 zombie
pids: 95 of 100 in /c, 7 zombies among them: nearly full, and fork was refused 1 time
pids: 1 of 9 in /d
left out: 2 kernel threads
may not be read: 1 process
/proc hides processes of other users (hidepid=invisible): there may be more
and 4 more
not everything could be read in time
`
	r := sample()
	checkSchema(t, r)
	if got := r.Text(text.Style{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	drawn := r.Text(text.Style{Unicode: true})
	for _, line := range []string{
		"     11 D ├─ 日本?",
		"          │  │",
		"     12 S │  └─ below",
		"     30 R └─ last",
	} {
		if !strings.Contains(drawn, line) {
			t.Errorf("no %q in\n%s", line, drawn)
		}
	}
	// Of everybody who has a line.
	if got := r.Text(text.Style{Details: true}); strings.Count(got, "uid 0, parent") != 7 {
		t.Errorf("got\n%s", got)
	}
	coloured := r.Text(text.Style{Colour: true})
	if strings.Count(coloured, "\x1b[31m") != 9 || strings.Count(coloured, "\x1b[33m") != 5 {
		t.Errorf("got\n%q", coloured)
	}
	colours := strings.NewReplacer("\x1b[31m", "", "\x1b[33m", "", "\x1b[0m", "")
	if plain := colours.Replace(coloured); plain != want {
		t.Errorf("without the colours, it is\n%s", plain)
	}
}

// No line is wider than the terminal, whatever it holds; and where there is room, nothing is lost.
func TestInspectTextWidth(t *testing.T) {
	r := sample()
	r.Processes[1].Cgroup = "/" + strings.Repeat("long", 40)
	drawing := strings.NewReplacer("│", "", "├─", "", "└─", "")
	words := strings.Fields(drawing.Replace(r.Text(text.Style{Unicode: true})))
	for width := 1; width < 150; width++ {
		for _, unicode := range []bool{true, false} {
			written := r.Text(text.Style{Width: width, Unicode: unicode})
			for line := range strings.Lines(written) {
				if n := text.Width(strings.TrimSuffix(line, "\n")); n > width || !utf8.ValidString(line) {
					t.Fatalf("%d columns of %d: %q", n, width, line)
				}
			}
			if width >= 60 && unicode {
				squeezed := strings.NewReplacer(" ", "", "\n", "").Replace(drawing.Replace(written))
				for _, word := range words {
					if !strings.Contains(squeezed, word) && len(word) < 60 {
						t.Errorf("width %d: %q is lost in\n%s", width, word, written)
					}
				}
			}
		}
	}
}
