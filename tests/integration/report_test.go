package integration

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// runReport is what these tests read of a report. The keys are a contract.
type runReport struct {
	Schema     string   `json:"schema"`
	State      string   `json:"state"`
	Command    []string `json:"command"`
	PID        int      `json:"pid"`
	Role       string   `json:"role"`
	Started    string   `json:"started"`
	Ended      string   `json:"ended"`
	ElapsedMS  float64  `json:"elapsed_ms"`
	ExitStatus *int     `json:"exit_status"`
	OOMKills   int      `json:"oom_kills"`
	Truncated  bool     `json:"truncated"`
	Without    []string `json:"without"`
	Reaped     struct {
		Orphans         int `json:"orphans"`
		LeftoversKilled int `json:"leftovers_killed"`
	} `json:"reaped"`
	Supervisor struct {
		Starts int `json:"starts"`
	} `json:"supervisor"`
	Cause struct {
		Kind  string   `json:"kind"`
		Step  string   `json:"step"`
		Error string   `json:"error"`
		Also  []string `json:"also"`
		By    struct {
			Signal string `json:"signal"`
			PID    *int   `json:"pid"`
			UID    *int   `json:"uid"`
			Comm   string `json:"comm"`
			From   string `json:"from"`
		} `json:"by"`
	} `json:"cause"`
	Ladder []struct {
		Step   string  `json:"step"`
		AtMS   float64 `json:"at_ms"`
		Result string  `json:"result"`
	} `json:"ladder"`
}

func parseReport(t *testing.T, text string) (r runReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &r); err != nil || strings.Count(text, "\n") != 1 ||
		!strings.HasSuffix(text, "\n") {
		t.Fatalf("not one object in one line (%v): %.300q", err, text)
	}
	if r.Schema != "finite.report/v1" || r.State == "" || r.Role == "" || r.Started == "" {
		t.Fatalf("something is missing: %s", text)
	}
	return r
}

// awaitReport waits until the report says that state. Whatever is read on the way is whole, or
// nothing was written yet; but who reads while it is written over in place (torn) may find half of
// each.
func awaitReport(t *testing.T, path, state string, torn bool) runReport {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience(); {
		if text, _ := os.ReadFile(path); len(text) > 0 && (!torn || json.Valid(text)) {
			if r := parseReport(t, string(text)); r.State == state || r.State == "ended" {
				if r.State != state {
					t.Fatalf("state %q, want %q", r.State, state)
				}
				return r
			}
		}
	}
	t.Fatalf("the report never said %q", state)
	return runReport{}
}

// ended reads a report that is final.
func ended(t *testing.T, path, kind string, status int) runReport {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := parseReport(t, string(text))
	if r.State != "ended" || r.Cause.Kind != kind || r.ExitStatus == nil ||
		*r.ExitStatus != status || r.Ended < r.Started {
		t.Errorf("want ended, %s, %d: %s", kind, status, text)
	}
	return r
}

// startWithin starts a shell script in a cage; $0 is finite, $1 is dir, where it begins; it is to
// end with exec "$0" …
func startWithin(t *testing.T, m mode, dir, script string, change func(*exec.Cmd), args ...string) *caged {
	t.Helper()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o777)
	}
	return startSpec(t, cageSpec{
		Mode: m, Args: append([]string{"/bin/sh", "-c", `cd "$1" || exit 99; ` + script, finiteBin, dir}, args...),
	}, change)
}

var rootModes = []mode{asInit, asSubreaper}

const deafTree = `trap "" TERM; sleep 1000 & sleep 1000 & echo "ready $$."; ` +
	`wait; while :; do sleep 1000; done`

func TestReportOfADeadline(t *testing.T) {
	atOnce(t, rootModes, func(t *testing.T, m mode) {
		file := filepath.Join(t.TempDir(), "report.json")
		c := start(t, m, "-t", stretch("1s"), "-k", stretch("100ms"), "--report", file, "--", "sh", "-c", deafTree)
		c.stdout.await(t, "ready")
		r := awaitReport(t, file, "started", false)
		c.stdout.await(t, fmt.Sprintf("ready %d.", r.PID))
		if r.ExitStatus != nil || r.Ended != "" || r.Cause.Kind != "" ||
			r.Role != map[mode]string{asInit: "init", asSubreaper: "subreaper"}[m] {
			t.Errorf("while it runs: %+v", r)
		}
		awaitReport(t, file, "stopping", false)
		c.wait().want(t, 124)
		r = ended(t, file, "deadline", 124)
		var steps []string
		last := 0.0
		for _, rung := range r.Ladder {
			steps = append(steps, rung.Step+" "+rung.Result)
			if rung.AtMS < last || rung.AtMS > r.ElapsedMS {
				t.Errorf("the ladder's times: %+v in %v", r.Ladder, r.ElapsedMS)
			}
			last = rung.AtMS
		}
		if got := strings.Join(steps, ", "); got != "SIGTERM sent, SIGKILL sent, tree sent" {
			t.Errorf("the ladder: %s", got)
		}
		if r.Reaped.Orphans != 2 || r.Reaped.LeftoversKilled != 2 || r.PID == 0 ||
			len(r.Command) != 3 || r.Truncated {
			t.Errorf("%+v", r)
		}
	})
}

// A file that is mounted where the report is to be, as /dev/termination-log is, is written in
// place, and not beyond what is read of it.
func TestReportTerminationLog(t *testing.T) {
	needRoot(t)
	forModes(t, rootModes, func(t *testing.T, m mode) {
		dir := t.TempDir()
		log := filepath.Join(dir, "log")
		if err := os.WriteFile(log, []byte(strings.Repeat("old ", 2000)), 0o644); err != nil {
			t.Fatal(err)
		}
		var before, after unix.Stat_t
		_ = unix.Stat(log, &before)
		c := startWithin(t, m, dir, `: >mounted; mount --bind log mounted || exit 98; `+
			`long=$2; shift 2; exec "$0" "$@" "$long"`, nil, strings.Repeat("long\n", 2000),
			"-t", stretch("300ms"), "-k", "0", "--report", "mounted", "--", "sh", "-c", deafTree)
		c.wait().want(t, 124)
		r := ended(t, log, "deadline", 124)
		_ = unix.Stat(log, &after)
		if after.Ino != before.Ino || after.Size > 4096 || !r.Truncated ||
			r.PID == 0 || len(r.Command) == 0 || r.Command[0] != "sh" {
			t.Errorf("inode %d, was %d; %d bytes; %+v", after.Ino, before.Ino, after.Size, r)
		}
		if there, _ := filepath.Glob(filepath.Join(dir, ".*")); len(there) > 0 {
			t.Errorf("beside it: %v", there)
		}
	})
}

func TestReportAfterSIGKILL(t *testing.T) {
	const deaf = `trap "echo asked" TERM; echo ready; while :; do sleep 1000 & wait; done`
	forModes(t, rootModes, func(t *testing.T, m mode) {
		for _, target := range []string{"report.json", "fd:5"} {
			for round := range 6 {
				dir := t.TempDir()
				file := filepath.Join(dir, "report.json")
				c := startWithin(t, m, dir,
					`exec 5>report.json "$0" --stop-grace 1h --report "$2" -- sh -c "$3"`, nil, target, deaf)
				c.stdout.await(t, "ready")
				awaitReport(t, file, "started", target == "fd:5")
				c.signal(unix.SIGTERM)
				c.stdout.await(t, "asked")
				if round == 0 { // in the other rounds the kill may come while it is written
					awaitReport(t, file, "stopping", target == "fd:5")
				}
				c.signal(unix.SIGKILL)
				if r := c.wait(); r.status != -9 {
					t.Fatalf("status %d", r.status)
				}
				text, _ := os.ReadFile(file)
				r := parseReport(t, string(text))
				// The keeper goes on, and ends everything.
				if m != asInit && slices.Contains(r.Cause.Also, "finite-killed") {
					continue
				}
				if r.State != "stopping" && (r.State != "started" || round == 0) ||
					r.ExitStatus != nil || r.State == "stopping" && r.Cause.By.Signal != "SIGTERM" {
					t.Errorf("%s", text)
				}
				there, _ := filepath.Glob(filepath.Join(dir, ".*"))
				if round == 0 && len(there) > 0 {
					t.Errorf("beside it: %v", there)
				}
				for _, one := range there {
					text, _ := os.ReadFile(one)
					t.Logf("killed while %s was written: %d bytes", filepath.Base(one), len(text))
				}
			}
		}
	})
}

// toFinite is the beginning of a script: $finite is who takes signals for the command, which is the
// front, or PID 1. The command's parent is the keeper.
const toFinite = `finite=$PPID; [ $finite = 1 ] || finite=$(sed -n "s/^PPid:.//p" /proc/$PPID/status); `

func TestReportSaysWho(t *testing.T) {
	needCommand(t, "perl")
	forModes(t, rootModes, func(t *testing.T, m mode) {
		file := filepath.Join(t.TempDir(), "report.json")
		c := start(t, m, "--report", file, "--", "sh", "-c", toFinite+`trap "exit 3" TERM; `+
			`perl -e '$| = 1; print "asker $$.\n"; kill TERM => $ARGV[0]; sleep 1000' $finite & wait; wait`)
		c.wait().want(t, 3)
		r := ended(t, file, "stop-requested", 3)
		by := &r.Cause.By
		if by.PID == nil || by.UID == nil || *by.UID != 0 || by.Signal != "SIGTERM" ||
			by.Comm != "perl" || by.From != "inside" {
			t.Fatalf("%+v", *by)
		}
		c.stdout.await(t, fmt.Sprintf("asker %d.", *by.PID))

		c = start(t, m, "--report", file, "--", "sh", "-c", `trap "exit 4" TERM; echo ready; sleep 1000 & wait`)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGTERM)
		c.wait().want(t, 4)
		r = ended(t, file, "stop-requested", 4)
		if by = &r.Cause.By; by.From != "outside" || by.PID != nil || by.Comm != "" || by.Signal != "SIGTERM" {
			t.Errorf("%+v", *by)
		}
	})
}

// A signal that comes to the front is from outside the command's PID namespace, and its sender is
// named as the caller sees it. The state bears the number that the caller knows.
func TestReportSaysWhoOutside(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	c := startWithin(t, asSubreaper, dir, `"$0" --unshare pid,mount \
		--report report.json --state-file state.json -- sh -c 'trap "exit 4" TERM; echo ready; sleep 1000 & wait' &
		trap 'kill $!' USR1; echo "asker $$, finite $!."; wait $!; wait $!`, nil)
	c.stdout.await(t, "ready")
	running := readState(t, dir, specs.StateRunning)
	c.stdout.await(t, strings.Replace(running.ID, "-", " ", 1)+".")
	c.signal(unix.SIGUSR1)
	c.wait().want(t, 4)
	by := ended(t, filepath.Join(dir, "report.json"), "stop-requested", 4).Cause.By
	if by.PID == nil || by.From != "outside" || by.Comm != "sh" {
		t.Fatalf("%+v", by)
	}
	c.stdout.await(t, fmt.Sprintf("asker %d,", *by.PID))
}

// Whatever the command does with the place of the report: the run is what it is, the report is in
// the directory that it was opened in, or one line says why not, and nothing else is written to.
func TestReportOfAHostileCommand(t *testing.T) {
	const again = `rm d/report.json
`
	for name, tt := range map[string]struct {
		script string
		dir    string // where the report is then
		says   string // why it is not; empty: it is
	}{
		"deleted":                        {again, "d", ""},
		"a symbolic link":                {again + `ln -s ../victim d/report.json`, "d", ""},
		"a hard link":                    {again + `ln victim d/report.json`, "d", ""},
		"a directory":                    {again + `mkdir d/report.json`, "d", "directory"},
		"mode 0":                         {`chmod 0 d/report.json`, "d", ""},
		"read-only directory":            {`chmod 555 d`, "d", ""},
		"all read-only":                  {`chmod 0 d/report.json; chmod 555 d`, "d", ""},
		"deleted, read-only directory":   {again + `chmod 555 d`, "d", "denied"},
		"hard link, read-only directory": {again + `ln victim d/report.json; chmod 555 d`, "d", "denied"},
		"the directory is elsewhere": {
			`mv d away; mkdir d; ln -s ../victim d/report.json; ` +
				`for n in $(seq 40); do ln -s ../victim d/.report.json.$PPID-$n; done`, "away", "",
		},
		"the directory is gone": {`rm -r d; mkdir d; ln -s ../victim d/report.json`, "d", "no such file"},
		"taken names": {
			`for n in $(seq 40); do ln -s ../victim d/.report.json.$PPID-$n; done`, "d", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				if m == asNobody {
					needRoot(t)
				}
				base := t.TempDir()
				if err := os.Mkdir(filepath.Join(base, "d"), 0o755); err != nil {
					t.Fatal(err)
				}
				victim := filepath.Join(base, "victim")
				if err := os.WriteFile(victim, []byte("victim"), 0o666); err != nil {
					t.Fatal(err)
				}
				if os.Geteuid() == 0 {
					_ = os.Chown(filepath.Join(base, "d"), 65534, 65534)
					_ = os.Chown(victim, 65534, 65534)
				}
				c := startWithin(t, m, base, `exec "$0" --report d/report.json -- sh -c "$2"`, nil,
					`until grep -qs started d/report.json; do :; done`+"\n"+tt.script+"\necho done; exit 7")
				r := c.wait()
				r.want(t, 7)
				if r.stdout != "done\n" {
					t.Errorf("stdout %q", r.stdout)
				}
				wrote := tt.says == "" || tt.says == "denied" && m != asNobody // nothing is denied to root
				if wrote {
					ended(t, filepath.Join(base, tt.dir, "report.json"), "exited", 7)
					if st, err := os.Lstat(filepath.Join(base, tt.dir, "report.json")); err != nil ||
						!st.Mode().IsRegular() {
						t.Errorf("%v, %v", st.Mode(), err)
					}
				}
				if wrote != (r.stderr == "") ||
					!wrote && (strings.Count(r.stderr, "\n") != 1 ||
						!strings.Contains(r.stderr, "cannot write d/report.json: ") || !strings.Contains(r.stderr, tt.says)) {
					t.Errorf("stderr %q, want it to say why not: %q", r.stderr, tt.says)
				}
				if text, _ := os.ReadFile(victim); string(text) != "victim" {
					t.Errorf("it wrote to another file: %q", text)
				}
				if err := filepath.WalkDir(base, func(path string, e os.DirEntry, err error) error {
					if err == nil && e.Type().IsRegular() && path != victim && e.Name() != "report.json" {
						t.Errorf("%s is left", path)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// On a full file system the report is the last one that there was room for, and whole.
func TestReportOnAFullFileSystem(t *testing.T) {
	needRoot(t)
	forModes(t, rootModes, func(t *testing.T, m mode) {
		for _, length := range []int{10, 7900} { // the second makes the last report need a page more than the first
			stdin, more, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer more.Close()
			c := startWithin(t, m, t.TempDir(),
				`mkdir d; mount -t tmpfs -o size=64k none d || exit 98; `+
					`exec "$0" --report d/report.json -- sh -c "$2" "$3"`,
				func(cmd *exec.Cmd) { cmd.Stdin = stdin },
				`until grep -qs started d/report.json; do :; done; cat /dev/zero >d/full 2>/dev/null; `+
					`echo full; read x; exit 7`, strings.Repeat("x", length))
			stdin.Close()
			c.stdout.await(t, "full")
			dir, err := os.Open(fmt.Sprintf("/proc/%d/cwd/d", childNamed(c.keeper(), "sh")))
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			more.Close()
			r := c.wait()
			r.want(t, 7)
			text, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/report.json", dir.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			report := parseReport(t, string(text))
			if report.State != "ended" && (strings.Count(r.stderr, "\n") != 1 ||
				!strings.Contains(r.stderr, "cannot write d/report.json: no space left")) {
				t.Errorf("state %s, stderr %q", report.State, r.stderr)
			}
			if names, _ := dir.Readdirnames(-1); len(names) != 2 {
				t.Errorf("there is %v", names)
			}
		}
	})
}

func TestReportErrors(t *testing.T) {
	for name, tt := range map[string]struct{ setup, target, says string }{
		"no such directory":   {"", "none/report", "no such file"},
		"symbolic link":       {"ln -s elsewhere link", "link", "symbolic link"},
		"a directory":         {"mkdir dir", "dir", "directory"},
		"no name":             {"mkdir dir", "dir/", "not the name of a file"},
		"fd that is not open": {"", "fd:9", "without that descriptor"},
		"not a number":        {"", "fd:x", "number of a descriptor"},
		"read-only file system": {
			"mkdir ro; mount -t tmpfs -o ro none ro || exit 98", "ro/report", "read-only file system",
		},
		"FIFO without a reader": {"mkfifo fifo", "fifo", "no such device"},
	} {
		t.Run(name, func(t *testing.T) {
			needRoot(t)
			forModes(t, rootModes, func(t *testing.T, m mode) {
				for _, option := range []string{"--report", "--state-file"} {
					dir := t.TempDir()
					r := startWithin(t, m, dir, tt.setup+"\n"+`exec "$0" "$2" "$3" -- echo started`,
						nil, option, tt.target).wait()
					r.want(t, 125)
					if !strings.HasPrefix(r.stderr, "finite: "+option+" "+tt.target+": ") ||
						!strings.Contains(r.stderr, tt.says) || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
						t.Errorf("stdout %q, stderr %q, want one line with %q", r.stdout, r.stderr, tt.says)
					}
					if _, err := os.Lstat(filepath.Join(dir, "elsewhere")); err == nil {
						t.Error("a symbolic link was followed")
					}
				}
			})
		})
	}
}

// A pipe gets every state in a line of its own, and the command does not get the pipe.
func TestReportOnAPipe(t *testing.T) {
	for _, target := range []string{"fifo", "fd:4"} {
		t.Run(target, func(t *testing.T) {
			forModes(t, rootModes, func(t *testing.T, m mode) {
				dir := t.TempDir()
				read, write, err := os.Pipe()
				if target == "fifo" {
					if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
						t.Fatal(err)
					}
					read, err = os.OpenFile(filepath.Join(dir, "fifo"), os.O_RDWR, 0)
				}
				stdin, more, err2 := os.Pipe()
				if err != nil || err2 != nil {
					t.Fatal(err, err2)
				}
				defer read.Close()
				defer more.Close()
				c := startWithin(t, m, dir,
					`exec "$0" --report "$2" -- sh -c 'ls -l /proc/self/fd; read x; exit 5'`, func(cmd *exec.Cmd) {
						cmd.Stdin = stdin
						if target != "fifo" {
							cmd.ExtraFiles = append(cmd.ExtraFiles, write)
						}
					}, target)
				stdin.Close()
				write.Close()
				_ = read.SetReadDeadline(time.Now().Add(patience()))
				in := bufio.NewReader(read)
				for _, state := range []string{"started", "ended"} {
					line, err := in.ReadString('\n')
					if err != nil {
						t.Fatalf("no %s: %v", state, err)
					}
					if r := parseReport(t, line); r.State != state {
						t.Errorf("want %s: %s", state, line)
					}
					more.Close()
				}
				r := c.wait()
				r.want(t, 5)
				var st unix.Stat_t
				_ = unix.Fstat(int(read.Fd()), &st)
				if strings.Contains(r.stdout, "/fifo\n") ||
					strings.Contains(r.stdout, fmt.Sprintf("pipe:[%d]", st.Ino)) ||
					!strings.Contains(r.stdout, " 0 -> ") || r.stderr != "" {
					t.Errorf("the command's descriptors: %s; stderr %q", r.stdout, r.stderr)
				}
			})
		})
	}
}

func TestReportOfAnOOMKill(t *testing.T) {
	needCommand(t, "perl")
	forModes(t, rootModes, func(t *testing.T, m mode) {
		for kind, script := range map[string]string{"oom": `exec ` + eater, "exited": eater + `; exit 0`} {
			dir := limited(t, "memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(memoryLimit))
			file := filepath.Join(t.TempDir(), "report.json")
			status := map[string]int{"oom": 137}[kind]
			c := startInMemory(t, dir, m, "--report", file, "--", "sh", "-c", `exec 2>/dev/null; read x; `+script)
			c.wait().want(t, status)
			if r := ended(t, file, kind, status); r.OOMKills != 1 {
				t.Errorf("%s: oom_kills %d", kind, r.OOMKills)
			}
		}
	})
}

func TestReportStartFailed(t *testing.T) {
	forModes(t, rootModes, func(t *testing.T, m mode) {
		file := filepath.Join(t.TempDir(), "report.json")
		run(t, m, "--report", file, "--", "no-such-command").want(t, 127)
		if r := ended(t, file, "start-failed", 127); r.Cause.Step != "lookup" ||
			!strings.Contains(r.Cause.Error, "no such file") || r.PID != 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestReportTwoCauses(t *testing.T) {
	atOnce(t, rootModes, func(t *testing.T, m mode) {
		file := filepath.Join(t.TempDir(), "report.json")
		run(t, m, "--report", file, "--stop-grace", "1h", "-t", stretch("1s"), "-k", "0", "--", "sh", "-c",
			toFinite+`trap "" TERM; kill -TERM $finite; while :; do sleep 1000; done`).want(t, 137)
		if r := ended(t, file, "stop-requested", 137); !reflect.DeepEqual(r.Cause.Also, []string{"deadline"}) ||
			r.Cause.By.From != "inside" {
			t.Errorf("%+v", r.Cause)
		}
	})
}

// The state file is a State of the OCI runtime-spec at every moment.
func TestStateFile(t *testing.T) {
	for _, target := range []string{"state.json", "fd:5"} {
		t.Run(target, func(t *testing.T) {
			forModes(t, rootModes, func(t *testing.T, m mode) {
				dir := t.TempDir()
				c := startWithin(t, m, dir, `exec 5>state.json "$0" --state-file "$2" -- sh -c "$3"`,
					nil, target, `trap "exit 6" TERM; echo "ready $$."; sleep 1000 & wait`)
				c.stdout.await(t, "ready")
				running := readState(t, dir, specs.StateRunning, "ociVersion", "id", "status", "bundle", "pid")
				c.stdout.await(t, fmt.Sprintf("ready %d.", running.Pid))
				c.signal(unix.SIGTERM)
				c.wait().want(t, 6)
				stopped := readState(t, dir, specs.StateStopped, "ociVersion", "id", "status", "bundle")
				if stopped.ID == "" || stopped.ID != running.ID || stopped.Version != specs.Version ||
					stopped.Bundle != dir {
					t.Errorf("%+v, was %+v", stopped, running)
				}
			})
		})
	}
}

// readState waits for a state, which has these keys.
func readState(t *testing.T, dir string, status specs.ContainerState, keys ...string) (s specs.State) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience(); {
		text, _ := os.ReadFile(filepath.Join(dir, "state.json"))
		if !json.Valid(text) {
			continue // nothing was written yet, or it is being written over
		}
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		var raw map[string]any
		if err := d.Decode(&s); err != nil || json.Unmarshal(text, &raw) != nil {
			t.Fatalf("not a State (%v): %q", err, text)
		}
		for _, key := range keys {
			if s.Status == status && raw[key] == nil {
				t.Fatalf("no %s: %s", key, text)
			}
		}
		if s.Status == status {
			return s
		}
	}
	t.Fatalf("the state is not %s: %+v", status, s)
	return s
}

// The report, the events and the log may go to one pipe. Each line is whole, and none is lost at
// the end, whichever of them is over first.
func TestRecordsShareADescriptor(t *testing.T) {
	const leaves = `trap "" TERM; sleep 1000 & sleep 1000 & exit 3`
	forModes(t, allModes, func(t *testing.T, m mode) {
		t.Parallel()
		for _, fd := range []string{"fd:1", "fd:2", "fd:5"} {
			const script = `exec 2>&1 5>&1; exec "$0" --report $1 --events $1 -k 100ms -- sh -c "$2"`
			c := startSpec(t, cageSpec{Mode: m, Args: []string{"/bin/sh", "-c", script, finiteBin, fd, leaves}}, nil)
			r := c.wait()
			r.want(t, 3)
			var last, ended string
			said := false
			for line := range strings.Lines(r.stdout + r.stderr) {
				var object struct {
					Event string `json:"event"`
					State string `json:"state"`
				}
				if strings.HasPrefix(line, "finite: ") {
					said = said || line == "finite: killed 2 processes that the command had left\n"
					continue
				}
				if err := json.Unmarshal([]byte(line), &object); err != nil {
					t.Errorf("%s: %v: %q", fd, err, line)
				}
				if last = cmp.Or(object.Event, last); object.State == "ended" {
					ended = object.State
				}
			}
			if last != "ended" || ended == "" || !said {
				t.Errorf("%s: the last event is %q, a last report: %q, the line of the log: %v: %s",
					fd, last, ended, said, r.stdout+r.stderr)
			}
		}
	})
}
