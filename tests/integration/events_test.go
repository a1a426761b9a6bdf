package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// told is what these tests read of an event.
type told struct {
	Event    string
	AtMS     float64 `json:"at_ms"`
	PID      int
	Comm     string
	From, To string
	Signal   string
	By       struct {
		Comm, From string
	}
	Step       string
	ExitStatus *int `json:"exit_status"`
	Cause      struct{ Kind string }
}

func readEvents(t *testing.T, text string) (all []told) {
	t.Helper()
	last := -1.0
	for line := range strings.Lines(text) {
		var e told
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.AtMS < last {
			t.Errorf("back in time: %s", line)
		}
		last = e.AtMS
		all = append(all, e)
	}
	return all
}

func TestEvents(t *testing.T) {
	needCommand(t, "perl")
	forModes(t, allModes, func(t *testing.T, m mode) {
		dir := t.TempDir()
		// 20 orphans that end when they are, since a shell that is quick enough reaps its own
		// children; one that has to be terminated, and a signal from inside.
		const job = toFinite + `mkfifo go; exec 7<>go; all="1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20"; ` +
			`for i in $all; do (read -r x <&7 &); done; for i in $all; do echo >&7; done; ` +
			`(setsid sleep 1000 &); trap "exit 5" USR1; ` +
			`perl -e 'kill USR1 => $ARGV[0]; sleep 1000' $finite & wait; exit 6`
		c := startWithin(t, m, dir, `exec "$0" --events events -- sh -c "$2"`, nil, job)
		c.wait().want(t, 5)
		text, err := os.ReadFile(filepath.Join(dir, "events"))
		if err != nil {
			t.Fatal(err)
		}
		all := readEvents(t, string(text))
		counts, orphans := map[string]int{}, map[string]int{}
		for _, e := range all {
			counts[e.Event]++
			if e.Event == "reaped" {
				orphans[e.Comm]++
			}
			if e.Event == "signal" && (e.Signal != "SIGUSR1" || e.By.Comm != "perl" || e.By.From != "inside") {
				t.Errorf("%+v", e)
			}
		}
		last := all[len(all)-1]
		if all[0].Event != "started" || last.Event != "ended" || last.ExitStatus == nil ||
			*last.ExitStatus != 5 || last.Cause.Kind != "exited" {
			t.Errorf("%s", text)
		}
		for event, n := range map[string]int{
			"started": 1, "signal": 1, "forwarded": 1, "exited": 1, "rung": 1, "ended": 1,
		} {
			if counts[event] != n {
				t.Errorf("%d of %s, want %d: %s", counts[event], event, n, text)
			}
		}
		// The shell's children that it waited for itself are not finite's to reap.
		if orphans["perl"] != 1 || counts["reaped"] != 22 {
			t.Errorf("reaped: %v: %s", orphans, text)
		}
	})
}

func TestEventsTrace(t *testing.T) {
	forModes(t, rootModes, func(t *testing.T, m mode) {
		dir := t.TempDir()
		c := startWithin(t, m, dir,
			stretch(`exec 5>trace "$0" --events fd:5 --events-format trace -t 200ms -k 100ms -- sh -c "$2"`),
			nil, `(setsid sleep 1000 &); `+deafTree)
		c.wait().want(t, 124)
		text, err := os.ReadFile(filepath.Join(dir, "trace"))
		if err != nil {
			t.Fatal(err)
		}
		var all []struct {
			Name, Ph string
			Dur      int64
		}
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		slices, states := 0, ""
		for _, e := range all {
			switch e.Ph {
			case "X":
				if slices++; e.Dur < 100_000 || e.Dur > 60_000_000 { // µs
					t.Errorf("%+v", e)
				}
			case "B":
				states += e.Name + " "
			}
		}
		if slices != 4 || states != "running stopping killing ended " {
			t.Errorf("%d processes, states %s: %s", slices, states, text)
		}
	})
}

// The events go on to the end after SIGKILL to finite.
func TestEventsAfterSIGKILL(t *testing.T) {
	const script = `mkfifo up
"$0" --events events --events-format "$2" -- sh -c 'trap "echo asked" TERM; echo ready >up;
while :; do sleep 1000 & wait; done' & f=$!
read -r ready <up; read -r k </proc/$f/task/$f/children; kill -TERM $f
while ! grep -q stopping events; do :; done; kill -9 $f; while ! grep -q "$3" events; do :; done
while test -d /proc/$k && ! grep -q "^State:.Z" /proc/$k/status 2>&-; do :; done; cat events`
	for format, last := range map[string]string{"json": `"event":"ended"`, "trace": `^\]`} {
		r := startWithin(t, asSubreaper, t.TempDir(), script, nil, format, last).wait()
		r.left = slices.DeleteFunc(r.left, isDying) // the keeper, which nobody waits for
		r.want(t, 0)
		_, text, _ := strings.Cut(r.stdout, "asked\n")
		if !strings.Contains(text, "finite-killed") {
			t.Errorf("%s", text)
		}
		if format == "json" {
			readEvents(t, text)
		} else if err := json.Unmarshal([]byte(text), new([]any)); err != nil {
			t.Errorf("%v: %s", err, text)
		}
	}
}

func (c *caged) file(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A reader that does not read keeps nobody.
func TestEventsNobodyReads(t *testing.T) {
	dir := t.TempDir()
	var res result
	complete(t, time.Second, func(deadline string) bool {
		c := startWithin(t, asSubreaper, dir, `rm -f pipe; mkfifo pipe; exec 6<>pipe 5>pipe 6<&-; `+
			`exec 7<pipe; exec "$0" --events fd:5 -t "$3" -k 100ms --leftovers kill -- sh -c "$2"`, nil,
			`trap "" TERM; i=0; while [ $i -lt 2000 ]; do (true &); `+
				`i=$((i + 1)); done; echo done; while :; do sleep 1000; done`, deadline)
		res = c.wait()
		res.want(t, 124)
		return res.stdout == "done\n"
	})
	if !strings.Contains(res.stderr, "cannot write fd:5") {
		t.Errorf("got %q", res.stderr)
	}
}

// A /proc that is another PID namespace's says nothing about those that are reaped.
func TestEventsWithAForeignProc(t *testing.T) {
	dir := t.TempDir()
	c := startWithin(t, asSubreaper, dir,
		`exec unshare -pf "$0" --events events -- sh -c "(setsid true &); sleep 0.1; exit 4"`, nil)
	c.wait().want(t, 4)
	text := c.file(t, dir, "events")
	for _, e := range readEvents(t, text) {
		if e.Comm != "" {
			t.Errorf("%+v: %s", e, text)
		}
	}
}

func TestTimeline(t *testing.T) {
	dir := t.TempDir()
	c := startWithin(t, asSubreaper, dir,
		stretch(`exec "$0" --report r.json -t 200ms -k 100ms -- sh -c "$2"`), nil, deafTree)
	c.wait().want(t, 124)
	report := filepath.Join(dir, "r.json")
	cmd := exec.Command(finiteBin, "--timeline", report)
	cmd.Env = []string{"LANG=C", "COLUMNS=70"}
	plain, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"deadline, exit status 124", " running  ",
		" stopping  ", " SIGTERM to child  ", " tree to all  ", "===", "###",
	} {
		if !strings.Contains(string(plain), want) {
			t.Errorf("no %q in\n%s", want, plain)
		}
	}
	for line := range strings.Lines(string(plain)) {
		if len(line) > 71 || strings.Contains(line, "\x1b") {
			t.Errorf("%d columns: %q", len(line)-1, line)
		}
	}
	// Nothing to read yet, and then Ctrl-C.
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	c = startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{finiteBin, "--timeline", pipe}}, nil)
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // which waits for it
	if err != nil {
		t.Fatal(err)
	}
	c.signal(unix.SIGINT)
	c.wait().want(t, 130)
	_ = w.Close()
	for _, tt := range []struct {
		env   string
		color bool
	}{{"TERM=xterm", true}, {"NO_COLOR=1", false}, {"TERM=dumb", false}} {
		tty, tts, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: 50}); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(finiteBin, "--timeline", "-")
		cmd.Env = []string{"LANG=C.UTF-8", tt.env}
		in, err := os.Open(report)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stdout = in, tts
		err = cmd.Run()
		_, _ = tts.WriteString("the end")
		var shown strings.Builder
		buf := make([]byte, 4096)
		for !strings.Contains(shown.String(), "the end") {
			n, err := tty.Read(buf)
			if err != nil {
				break
			}
			shown.Write(buf[:n])
		}
		_, _, _ = tty.Close(), tts.Close(), in.Close()
		if err != nil || strings.Contains(shown.String(), "\x1b[33m") != tt.color ||
			!strings.Contains(shown.String(), "░░") {
			t.Errorf("%s: %v, %q", tt.env, err, shown.String())
		}
	}
}
