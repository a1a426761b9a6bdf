package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// harm sends a signal to the next supervisors of a keeper, one after the other, when each has been
// there for a time. It stops when the test has what it wants, and returns how many it has met.
func (c *caged) harm(keeper int, sig unix.Signal, most int, delay time.Duration) (stop func() int) {
	met := map[int]bool{}
	over := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for ; len(met) < most; time.Sleep(100 * time.Microsecond) {
			select {
			case <-over:
				return
			default:
			}
			pid := childNamed(keeper, supervisorName)
			if pid == 0 || met[pid] {
				continue
			}
			if delay > 0 {
				time.Sleep(delay)
			}
			if unix.Kill(pid, sig) == nil {
				met[pid] = true
			}
		}
	})
	return func() int {
		close(over)
		done.Wait()
		return len(met)
	}
}

// startHeld starts finite with a standard input that stays open and empty until release is called.
func startHeld(t *testing.T, m mode, args ...string) (c *caged, release func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	t.Cleanup(func() { w.Close() })
	c = startSpec(t, cageSpec{Mode: m, Args: append([]string{finiteBin}, args...)}, func(cmd *exec.Cmd) {
		cmd.Stdin = r
	})
	return c, func() { w.Close() }
}

// A supervisor that is killed, stopped or made to crash, once or each time, changes neither the end
// nor the status.
func TestSupervisorIsHarmed(t *testing.T) {
	const byHeart = "the supervisor cannot run: "
	for _, tt := range []struct {
		sig   unix.Signal
		times int
		lost  bool // it has to be done without
	}{
		{unix.SIGKILL, 1, false},
		{unix.SIGKILL, 2, false},
		{unix.SIGKILL, 3, true},
		{unix.SIGKILL, 100, true},
		{unix.SIGSTOP, 1, false},
		{unix.SIGSTOP, 100, false},
		{unix.SIGSEGV, 1, false},
		{unix.SIGSEGV, 100, true},
	} {
		t.Run(fmt.Sprintf("signal %d, %d times", tt.sig, tt.times), func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				t.Parallel()
				for name, run := range map[string]struct {
					options []string
					end     string
					status  int
				}{
					"exited": {[]string{"-k", stretch("300ms")}, "exit 3", 3},
					"killed": {[]string{"-k", "0"}, "kill -KILL $$", 137},
					"deadline": {
						[]string{"-t", stretch("700ms"), "-k", stretch("300ms")}, "while :; do sleep 1000; done", 124,
					},
				} {
					args := append(append([]string{}, run.options...),
						"--", "sh", "-c", "echo started; "+fugitives+`read -r word 2>/dev/null; `+run.end)
					c, release := startHeld(t, m, args...)
					stop := c.harm(c.keeper(), tt.sig, tt.times, 0)
					release()
					r := c.wait()
					met := stop()
					if r.want(t, run.status); r.status != run.status {
						t.Errorf("%s, %d supervisors were met", name, met)
					}
					wantCalm(t, r)
					if r.stdout != "started\n" {
						t.Errorf("%s: stdout %q: the command was not started once", name, r.stdout)
					}
					if met == 0 && name == "exited" { // the others are quicker than the test
						t.Errorf("%s: no supervisor was met", name)
					}
					if said := strings.Contains(r.stderr, byHeart); said && !tt.lost {
						t.Errorf("%s: %d supervisors were met, and stderr is %q", name, met, r.stderr)
					} else if !said && tt.lost && tt.sig == unix.SIGKILL && name == "exited" {
						t.Errorf("%s: %d supervisors were met, and stderr is %q", name, met, r.stderr)
					}
				}
			})
		})
	}
}

// A supervisor that is killed at any moment, between its first message and its last one, changes
// neither the end nor the status, and the report is complete.
func TestSupervisorIsKilledAtAnyMoment(t *testing.T) {
	const step, most = 40 * time.Microsecond, 3 * time.Millisecond // a run without a grace time takes 2 ms
	forModes(t, rootModes, func(t *testing.T, m mode) {
		t.Parallel()
		for _, reports := range []bool{false, true} {
			met := 0
			for delay := time.Duration(0); delay < most; delay += step {
				report := filepath.Join(t.TempDir(), "report.json")
				args := []string{"-t", "1h", "-k", "0"}
				if reports {
					args = append(args, "--report", report)
				}
				c, release := startHeld(t, m,
					append(args, "--", "sh", "-c", "echo started; "+fugitives+`read -r word; exit 3`)...)
				c.stdout.await(t, "started\n")
				keeper := c.keeper()
				release()
				stop := c.harm(keeper, unix.SIGKILL, 1, delay)
				r := c.wait()
				met += stop()
				if r.want(t, 3); r.stdout != "started\n" || strings.Contains(r.stderr, "cannot") {
					t.Errorf("after %v: stdout %q, stderr %q", delay, r.stdout, r.stderr)
				}
				if reports {
					ended(t, report, "exited", 3)
				}
			}
			if met < 5 {
				t.Errorf("%d supervisors were met", met)
			}
		}
	})
}

// A supervisor that is stopped while nothing happens is continued, and hears of the end.
func TestCalmSupervisorIsStopped(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		t.Parallel()
		c, release := startHeld(t, m, "-t", "1h", "--give-up", "5s", "--",
			"sh", "-c", "echo started; read -r word; exit 3")
		c.stdout.await(t, "started")
		keeper := c.keeper()
		awaitCalm(t, keeper)
		supervisor := childNamed(keeper, supervisorName)
		if err := unix.Kill(supervisor, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		release()
		c.wait().want(t, 3)
	})
}

// awaitCalm waits until a process has not woken up for longer than a supervisor is waited for.
func awaitCalm(t *testing.T, pid int) {
	t.Helper()
	const calm = 3 * time.Second
	wakes := func() string { return statusField(pid, "voluntary_ctxt_switches") }
	was, since := wakes(), time.Now()
	eventually(t, "the keeper is calm", func() bool {
		if is := wakes(); is != was {
			was, since = is, time.Now()
		}
		return time.Since(since) > calm
	})
}

// leavesDeaf has left processes that are deaf to SIGTERM when SIGUSR1 ends it. It forks nobody
// after it is ready.
const leavesDeaf = `trap "" TERM; sleep 1000 & setsid sleep 1000 & trap "exit 5" USR1; echo ready; wait`

// A supervisor that cannot start: the keeper says so in one line, and ends what is left by heart.
// The status is the command's own.
func TestSupervisorCannotStart(t *testing.T) {
	needRoot(t)
	for name, tt := range map[string]struct {
		limit   func(t *testing.T) (prepare, dir string)
		options []string
		says    string
	}{
		"address space": {
			func(*testing.T) (string, string) { return "ulimit -v 40000", "" },
			[]string{"-k", "200ms"},
			"the supervisor cannot run: SIGTERM to everything that is left, and SIGKILL in 200ms",
		},
		"address space, no grace": {
			func(*testing.T) (string, string) { return "ulimit -v 40000", "" },
			[]string{"-k", "0"},
			"the supervisor cannot run: SIGKILL to everything that is left",
		},
		"processes": {
			func(t *testing.T) (string, string) {
				dir := limited(t, "pids", "pids.max", "pids.max", "100")
				return fmt.Sprintf("echo 0 >'%s/cgroup.procs'", dir), dir
			},
			[]string{"-k", "200ms"},
			"the supervisor cannot run (resource temporarily unavailable): " +
				"SIGTERM to everything that is left, and SIGKILL in 200ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				t.Parallel()
				prepare, dir := tt.limit(t)
				args := append(append([]string{finiteBin}, tt.options...), "--", "sh", "-c", leavesDeaf)
				if m == asNobody { // the limit is another user's to set
					args = append([]string{
						"/usr/bin/setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
					}, args...)
				}
				as := m
				if m == asNobody {
					as = asSubreaper
				}
				c := startSpec(t, cageSpec{Mode: as, Args: afterShell(prepare, args...)}, nil)
				c.stdout.await(t, "ready")
				if dir != "" {
					setLimit(t, dir, 1)
				}
				c.signal(unix.SIGUSR1)
				r := c.wait()
				if r.want(t, 5); r.stderr != "finite: "+tt.says+"\n" {
					t.Errorf("stderr %q, want %q", r.stderr, tt.says)
				}
			})
		})
	}
}

// Whatever signal finite is sent while a supervisor starts, or while it is stopped, the end and the
// status are the same.
func TestSignalsBesideASupervisor(t *testing.T) {
	for _, state := range []string{"starts", "is stopped", "runs"} {
		t.Run(state, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				t.Parallel()
				c, release := startHeld(t, m, "-k", stretch("2s"), "--",
					"sh", "-c", fugitives+"echo started; read -r word; exit 3")
				front, keeper := c.pid(), c.keeper()
				release()
				supervisor := 0
				eventually(t, "there is a supervisor", func() bool {
					supervisor = childNamed(keeper, supervisorName)
					return supervisor != 0
				})
				switch state {
				case "is stopped":
					c.kill(supervisor, unix.SIGSTOP)
				case "runs":
					eventually(t, "the supervisor has threads", func() bool { return threadsOf(supervisor) > 2 })
				}
				for sig := unix.Signal(1); sig <= 64; sig++ {
					switch sig {
					case unix.SIGKILL, unix.SIGSTOP, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT: // these are about the end
					default:
						c.kill(front, sig)
					}
				}
				r := c.wait()
				r.want(t, 3)
				wantCalm(t, r)
				if r.stdout != "started\n" {
					t.Errorf("stdout %q", r.stdout)
				}
			})
		})
	}
}

func threadsOf(pid int) int {
	n, _ := strconv.Atoi(statusField(pid, "Threads"))
	return n
}

// statusField is a field of proc_pid_status(5); empty where there is none.
func statusField(pid int, name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\n"+name+":\t")
	value, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(value)
}

// A command that soon exits by itself and leaves nobody ends the run without a word from its
// supervisor, where that has none to say. Where it has one, it says it.
func TestQuietEnd(t *testing.T) {
	for _, tt := range []struct {
		options []string
		script  string
		status  int
		says    string // on stderr; empty: nothing
	}{
		{[]string{"--give-up", "5s"}, "exit 0", 0, ""},
		{[]string{"--give-up", "5s"}, "exit 255", 255, ""},
		{[]string{"-v"}, "exit 3", 3, ""},
		{[]string{"-vv"}, "exit 3", 3, `to="ended"`},
		{[]string{"-e", "3"}, "exit 3", 0, ""},
		{[]string{"--stop-exit", "3"}, "exit 3", 3, ""},
		{[]string{"--preserve-status", "-t", "10s"}, "exit 3", 3, ""},
		{[]string{"--report", "fd:2"}, "exit 3", 3, `"exited"`},
		{[]string{"--leftovers", "kill", "-v"}, "sleep 100 & exit 3", 3, "tree to all"},
		{[]string{"--give-up", "5s"}, "kill -KILL $$", 137, ""},
	} {
		forModes(t, allModes, func(t *testing.T, m mode) {
			t.Parallel()
			for range 10 {
				r := start(t, m, append(tt.options, "--", "sh", "-c", "echo ran; "+tt.script)...).wait()
				r.want(t, tt.status)
				if r.stdout != "ran\n" || tt.says == "" && r.stderr != "" || !strings.Contains(r.stderr, tt.says) {
					t.Errorf("%v: stdout %q, stderr %q", tt.options, r.stdout, r.stderr)
				}
			}
		})
	}
}

// A supervisor and its runtime start on one processor. When it is there, each of its threads may
// use those that finite was given, as the command may.
func TestSupervisorIsNotPinned(t *testing.T) {
	forModes(t, rootModes, func(t *testing.T, m mode) {
		t.Parallel()
		for _, options := range [][]string{{"-v"}, {"-v", "--unshare", "pid,mount"}} {
			args := append(append([]string{finiteBin}, options...), "--", "sh", "-c", "echo ready; sleep 1000")
			c := startSpec(t, cageSpec{Mode: m, Args: args}, nil)
			c.stdout.await(t, "ready\n")
			keeper := c.keeper()
			want := statusField(os.Getpid(), "Cpus_allowed")
			supervisors := 0
			for _, child := range children(keeper) {
				if child == childNamed(keeper, supervisorName) {
					supervisors++
				}
				threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", child))
				if err != nil {
					t.Fatal(err)
				}
				for _, thread := range threads {
					tid, _ := strconv.Atoi(thread.Name())
					if got := statusField(tid, "Cpus_allowed"); got != want {
						t.Errorf("%v: thread %d of %d may use %s, want %s", options, tid, child, got, want)
					}
				}
			}
			if supervisors != 1 {
				t.Errorf("%v: %d supervisors were looked at", options, supervisors)
			}
			c.signal(unix.SIGTERM)
			c.wait()
		}
	})
}

// A supervisor that goes on does not write its events behind another file, which was put in the
// place of the first one's by a link. It says so, and the end is the same.
func TestSupervisorDoesNotWriteIntoALink(t *testing.T) {
	forModes(t, rootModes, func(t *testing.T, m mode) {
		t.Parallel()
		dir := t.TempDir()
		events, report := filepath.Join(dir, "events"), filepath.Join(dir, "report")
		for _, path := range []string{events, report} {
			if err := os.WriteFile(path+".victim", []byte("untouched"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, release := startHeld(t, m, "--events", events, "--report", report,
			"-k", "0", "--", "sh", "-c", "echo started; read -r word; exit 3")
		c.stdout.await(t, "started\n")
		keeper := c.keeper()
		eventually(t, "there is a report", func() bool { return fileSize(report) > 0 && fileSize(events) > 0 })
		for _, path := range []string{events, report} {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(path+".victim", path); err != nil {
				t.Fatal(err)
			}
		}
		first := childNamed(keeper, supervisorName)
		c.kill(first, unix.SIGKILL)
		eventually(t, "there is another supervisor", func() bool {
			pid := childNamed(keeper, supervisorName)
			return pid != 0 && pid != first
		})
		release()
		r := c.wait()
		r.want(t, 3)
		for _, path := range []string{events, report} {
			if text, _ := os.ReadFile(path + ".victim"); string(text) != "untouched" {
				t.Errorf("%s.victim is %q", path, text)
			}
		}
		if !strings.Contains(r.stderr, "another file was put in its place") {
			t.Errorf("stderr: %q", r.stderr)
		}
		ended(t, report, "exited", 3)
	})
}

func fileSize(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return st.Size()
}

// A stop that only the supervisor knows for one, since SIGHUP ends a command that has a clock for
// it, and a rewritten signal does, is known to the supervisor that takes its place.
func TestStopOutlivesItsSupervisor(t *testing.T) {
	needRoot(t)
	const script = `"$0" --stop-grace $3 $4 --report "$1/report" --events "$1/events" -- ` +
		`sh -c 'trap "" HUP TERM USR1; echo ready; while :; do sleep 1000; done' >"$1/out" 2>"$1/err" & f=$!
until grep -qs ready "$1/out"; do sleep 0.01; done
kill -$2 $f; until grep -qs '"to":"stopping"' "$1/events"; do sleep 0.01; done
for p in /proc/[0-9]*; do test "$(cat $p/comm)" = supervisor && kill -9 "${p#/proc/}"; done 2>/dev/null
wait $f; echo "status $?"; cat "$1/report"`
	for name, options := range map[string]string{"HUP": "", "USR1": "--rewrite USR1:TERM"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := scripted(t, script, name, stretch("2s"), options)
			r.want(t, 0)
			for _, want := range []string{
				"status 137\n", `"kind":"stop-requested"`, `"by":{"signal":"SIG` + name + `"`, `"supervisor":{"starts":2}`,
			} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("no %s in %s", want, r.stdout)
				}
			}
		})
	}
}

// A pause outlives its supervisor, with what the options name: a descriptor that hangs up, a record
// in the caller's directory.
func TestPauseOutlivesItsSupervisor(t *testing.T) {
	needRoot(t)
	const script = `cd "$1"; mkfifo life; exec 8<>life
"$0" --pause --lifeline fd:8 --report report 2>err & f=$!
until grep -qs '"state":"started"' report; do sleep 0.01; done
for p in /proc/[0-9]*; do test "$(cat $p/comm)" = supervisor && kill -9 "${p#/proc/}"; done 2>/dev/null
kill -TERM $f; wait $f; echo "status $?"; cat report err`
	r := scripted(t, script)
	r.want(t, 0)
	for _, want := range []string{"status 0\n", `"state":"ended"`, `"kind":"stop-requested"`, `"supervisor":{"starts":2}`} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %s in %s", want, r.stdout)
		}
	}
}
