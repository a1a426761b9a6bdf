package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Names of the processes of a plain run (comm).
const (
	keeperName     = "keeper"
	supervisorName = "supervisor"
)

// outerModes are those in which finite is a front and a keeper.
var outerModes = []mode{asSubreaper, asNobody}

// eventually waits until what is said is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for begin := time.Now(); !so(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience() {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

// childNamed finds a child by its comm, 0 if there is none.
func childNamed(parent int, name string) int {
	for _, pid := range children(parent) {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(comm)) == name {
			return pid
		}
	}
	return 0
}

// keeper returns the keeper's PID as the test sees it.
func (c *caged) keeper() (pid int) {
	c.t.Helper()
	front := c.pid()
	if c.mode == asInit {
		return front
	}
	eventually(c.t, "the front has a keeper", func() bool {
		pid = childNamed(front, keeperName)
		return pid != 0
	})
	return pid
}

// kill sends a signal to a process of the cage that is no longer unknown.
func (c *caged) kill(pid int, sig unix.Signal) {
	c.t.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		c.t.Errorf("kill %d: %v", pid, err)
	}
}

// startLate is start for a run that is ended from outside: what is left gets some time.
func startLate(t *testing.T, m mode, args ...string) *caged {
	t.Helper()
	return startSpec(t, cageSpec{Mode: m, Args: args, Late: true}, nil)
}

// wantLine checks that stderr is this one line.
func (r result) wantLine(t *testing.T, line string) {
	t.Helper()
	if want := "finite: " + line + "\n"; r.stderr != want {
		t.Errorf("stderr %q, want %q", r.stderr, want)
	}
}

// fugitives is a tree of those who get away, by every way there is, and do not hear SIGTERM.
const fugitives = `trap "" TERM HUP INT QUIT; (setsid sleep 1000 &); (setsid sh -c "(sleep 1000 &)" &)
nohup sleep 1000 >/dev/null 2>&1 & (set -m; sleep 1000 &) 2>/dev/null; `

// finite and everything that has a part in it is killed with SIGKILL, and nothing of the tree is
// left.
func TestFrontIsKilled(t *testing.T) {
	needCommand(t, "perl")
	tree := script(t, "tree.pl")
	kill := func(c *caged) { c.kill(c.pid(), unix.SIGKILL) }
	killGroup := func(c *caged) { c.kill(-c.pid(), unix.SIGKILL) }
	const waiting = `echo ready; while :; do sleep 1000; done`
	for name, tt := range map[string]struct {
		args []string
		kill func(*caged) // nil: it comes by itself
	}{
		"a sleeping command":  {[]string{finiteBin, "--", "sh", "-c", waiting}, kill},
		"fugitives":           {[]string{finiteBin, "--", "sh", "-c", fugitives + waiting}, kill},
		"a tree that forks":   {[]string{finiteBin, "--", "perl", tree, "MARK", "40", "2"}, kill},
		"before the deadline": {[]string{finiteBin, "-t", "1h", "--", "sh", "-c", fugitives + waiting}, kill},
		"by timeout": {
			[]string{
				"/usr/bin/timeout", "-s", "KILL", "1", finiteBin,
				"--", "sh", "-c", fugitives + `sleep 1000; :`,
			}, nil,
		},
		"with the whole group": {
			[]string{
				"/usr/bin/setsid", "sh", "-c", `"$@"; :`, "sh", finiteBin,
				"--", "sh", "-c", fugitives + waiting,
			}, killGroup,
		},
		"by its name": {
			[]string{finiteBin, "--", "sh", "-c", fugitives + `pkill -9 finite; sleep 1000; :`}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, outerModes, func(t *testing.T, m mode) {
				t.Parallel()
				c := startLate(t, m, tt.args...)
				if tt.kill != nil {
					c.stdout.await(t, "ready")
					tt.kill(c)
				}
				c.wait().want(t, -int(unix.SIGKILL))
			})
		})
	}
}

// So it is when what the command left is just being ended.
func TestFrontIsKilledAtTheEnd(t *testing.T) {
	for name, options := range map[string][]string{
		"leftovers": {"-k", "1h"}, "deadline": {"-t", "100ms", "-k", "1h"},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, outerModes, func(t *testing.T, m mode) {
				t.Parallel()
				script := fugitives + `echo ready; exit 3`
				if name == "deadline" {
					script = fugitives + `while :; do sleep 1000; done`
				}
				c := startLate(t, m, append(append([]string{finiteBin}, options...), "--", "sh", "-c", script)...)
				if name == "deadline" {
					c.stderr.await(t, "the deadline was reached")
				} else {
					keeper := c.keeper()
					eventually(t, "there is a supervisor", func() bool { return childNamed(keeper, supervisorName) != 0 })
				}
				c.kill(c.pid(), unix.SIGKILL)
				c.wait().want(t, -int(unix.SIGKILL))
			})
		})
	}
}

// A keeper that is killed is said in one line, and nothing is left.
func TestKeeperIsKilled(t *testing.T) {
	needCommand(t, "perl")
	tree := script(t, "tree.pl")
	const waiting = `echo ready; while :; do sleep 1000; done`
	const died = "the keeper was killed: SIGKILL to everything that is left"
	for name, tt := range map[string]struct {
		options []string
		command []string
		await   string // on stderr
		status  int
	}{
		"a sleeping command":  {nil, []string{"sh", "-c", waiting}, "", 125},
		"fugitives":           {nil, []string{"sh", "-c", fugitives + waiting}, "", 125},
		"a tree that forks":   {nil, []string{"perl", tree, "MARK", "40", "2"}, "", 125},
		"before the deadline": {[]string{"-t", "1h"}, []string{"sh", "-c", fugitives + waiting}, "", 125},
		"after the deadline": {
			[]string{"-t", "1s", "-k", "1h"},
			[]string{"sh", "-c", fugitives + waiting},
			"the deadline was reached: SIGTERM, and SIGKILL to everything in 1h0m0s\n", 124,
		},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, outerModes, func(t *testing.T, m mode) {
				t.Parallel()
				args := append(append([]string{finiteBin}, tt.options...), "--")
				c := startLate(t, m, append(args, tt.command...)...)
				c.stdout.await(t, "ready")
				c.stderr.await(t, tt.await)
				c.kill(c.keeper(), unix.SIGKILL)
				r := c.wait()
				r.want(t, tt.status)
				want := "finite: " + died + "\n"
				if tt.await != "" {
					want = "finite: " + tt.await + want
				}
				if r.stderr != want {
					t.Errorf("stderr %q, want %q", r.stderr, want)
				}
			})
		})
	}
}

// A keeper that is killed while a supervisor ends what the command left: nothing is left, the
// supervisor neither.
func TestKeeperIsKilledAtTheEnd(t *testing.T) {
	forModes(t, outerModes, func(t *testing.T, m mode) {
		c := startLate(t, m, finiteBin, "-k", "1h", "--", "sh", "-c", fugitives+"exit 3")
		keeper := c.keeper()
		eventually(t, "there is a supervisor", func() bool { return childNamed(keeper, supervisorName) != 0 })
		c.kill(keeper, unix.SIGKILL)
		r := c.wait()
		r.want(t, 125)
		r.wantLine(t, "the keeper was killed: SIGKILL to everything that is left")
	})
}

// Both at the same moment are more than finite survives: the tree is left to the next subreaper.
// That is documented, not promised.
func TestFrontAndKeeperAreKilled(t *testing.T) {
	c := start(t, asSubreaper, "--", "sh", "-c", fugitives+"echo ready; while :; do sleep 1000; done")
	c.stdout.await(t, "ready")
	front, keeper := c.pid(), c.keeper()
	c.kill(front, unix.SIGSTOP) // it is not to see the keeper's end
	c.kill(keeper, unix.SIGKILL)
	c.kill(front, unix.SIGKILL)
	r := c.wait()
	if r.status != -int(unix.SIGKILL) {
		t.Errorf("status %d", r.status)
	}
	t.Logf("left: %d of them: %v", len(r.left), r.left)
}

// One SIGSTOP of either process is survived where there is a deadline.
func TestStoppedOnce(t *testing.T) {
	for _, who := range []string{"front", keeperName, "both"} {
		t.Run(who, func(t *testing.T) {
			forModes(t, outerModes, func(t *testing.T, m mode) {
				t.Parallel()
				c := start(t, m, "-t", "2s", "-k", "200ms", "--", "sh",
					"-c", fugitives+"echo ready; while :; do sleep 1000; done")
				c.stdout.await(t, "ready")
				front, keeper := c.pid(), c.keeper()
				if who != "front" {
					c.kill(keeper, unix.SIGSTOP)
				}
				if who != keeperName {
					c.kill(front, unix.SIGSTOP)
				}
				c.wait().want(t, 124)
			})
		})
	}
}

// environmentOf is what a process was executed with.
func environmentOf(t *testing.T, pid int) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\x00")
}

// The runs of these tests are plain: no variable of finite's is there.
func TestPlainRunsArePlain(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := start(t, m, "--", "sh", "-c", `trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done`)
		c.stdout.await(t, "ready")
		for _, entry := range environmentOf(t, c.pid()) {
			if strings.HasPrefix(entry, "FINITE_") {
				t.Errorf("in the environment: %s", entry)
			}
		}
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", c.keeper()))
		if len(threads) != 1 {
			t.Errorf("%d threads, want the keeper's one", len(threads))
		}
		c.signal(unix.SIGTERM)
		c.wait().want(t, 3)
	})
}

// So it is when the command does it with its first step, on one processor: the keeper has not run
// again since it made the command.
func TestStoppedAtOnce(t *testing.T) {
	needCommand(t, "taskset")
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	forModes(t, outerModes, func(t *testing.T, m mode) {
		t.Parallel()
		for range 5 {
			const script = `kill -STOP $PPID; trap "" TERM; while :; do sleep 1000; done`
			args := []string{
				"/usr/bin/taskset", "-c", strconv.Itoa(cpu), finiteBin,
				"-t", "200ms", "-k", "50ms", "--", "sh", "-c", script,
			}
			startSpec(t, cageSpec{Mode: m, Args: args}, nil).wait().want(t, 124)
		}
	})
}
