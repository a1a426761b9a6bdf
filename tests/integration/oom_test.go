package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const memoryLimit = 32 << 20

// startInMemory starts finite in a cgroup with a limit of memory, with options that need a
// supervisor, which counts. The command's standard input ends when finite has begun to count, which
// it does a moment after the start.
func startInMemory(t *testing.T, dir string, m mode, args ...string) *caged {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := startSpec(t, cageSpec{Mode: m, Args: joins(dir, append([]string{finiteBin}, args...)...)},
		func(cmd *exec.Cmd) { cmd.Stdin = r })
	r.Close()
	defer w.Close()
	for begin := time.Now(); time.Since(begin) < patience(); {
		pid := childNamed(c.keeper(), supervisorName)
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
		for _, file := range files {
			if to, _ := os.Readlink(file); strings.HasSuffix(to, "/memory.oom_control") ||
				strings.HasSuffix(to, "/memory.events") {
				return c
			}
		}
	}
	t.Fatal("finite does not count")
	return nil
}

// eater takes far more memory than there is.
const eater = `perl -e '$x = "x" x (256 << 20)'`

// Somebody of the tree is killed for want of memory: the log says so, once, and the status is the
// command's.
func TestOutOfMemory(t *testing.T) {
	needCommand(t, "perl")
	for _, tt := range []struct {
		name, script string
		status       int
		says         string
	}{
		{
			"a child of the command", `read x; ` + eater + `; exit 0`, 0,
			"out of memory: the kernel killed 1 process",
		},
		{
			"an orphan", `read x; mkfifo $1/f; (` + eater + ` & echo $! >$1/pid); p=$(cat $1/pid); ` +
				`while kill -0 $p; do :; done; exit 3`,
			3, "out of memory: the kernel killed 1 process",
		},
		{
			"one after the other", `read x; for i in 1 2 3; do ` + eater + `; done; exit 0`,
			0, "out of memory: the kernel killed 3 processes",
		},
		{"the command", `read x; exec ` + eater, 137, "out of memory: the kernel killed 1 process"},
		{
			"killed by somebody",
			`read x; sleep 1000 & kill -KILL $!; wait; (sleep 1000 & kill -KILL $!); exit 0`, 0, "",
		},
		{"the command is killed by somebody", `read x; kill -KILL $$`, 137, ""},
		{"enough memory", `read x; perl -e '$x = "x" x (1 << 20)'; exit 5`, 5, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
				// Each of them has a supervisor.
				for _, option := range [][]string{{"--give-up", "5s"}, {"--give-up", "5s", "-t", "1h"}} {
					dir := limited(t, "memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(memoryLimit))
					c := startInMemory(t, dir, m, append(option, "--", "sh", "-c",
						"exec 2>/dev/null; "+tt.script, "sh", t.TempDir())...)
					r := c.wait()
					r.want(t, tt.status)
					if (tt.says == "") != (r.stderr == "") || !strings.Contains(r.stderr, tt.says) ||
						strings.Count(r.stderr, "\n") > 1 {
						t.Errorf("stderr %q, want one line with %q", r.stderr, tt.says)
					}
				}
			})
		})
	}
}

// Where no supervisor runs, what the kernel has counted since the cgroup was made is said of a
// command of a container that was killed, and only then.
func TestOutOfMemoryWithoutGo(t *testing.T) {
	needCommand(t, "perl")
	for _, tt := range []struct {
		script string
		status int
		says   string
	}{
		{
			`exec ` + eater, 137,
			"finite: the command was killed; " +
				"out of memory: the kernel killed 1 process of this memory cgroup since that was made\n",
		},
		{eater + `; exit 4`, 4, ""},
		{`kill -KILL $$`, 137, ""},
		{`kill -TERM $$`, 143, ""},
	} {
		dir := limited(t, "memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(memoryLimit))
		c := startSpec(t, cageSpec{
			Mode: asInit, Args: joins(dir, finiteBin, "--", "sh", "-c", "exec 2>/dev/null; "+tt.script),
		}, nil)
		r := c.wait()
		r.want(t, tt.status)
		if r.stderr != tt.says {
			t.Errorf("%s: stderr %q, want %q", tt.script, r.stderr, tt.says)
		}
	}
}

// What was killed in the cgroup before the start is nobody's business, and what a deadline kills is
// not called that.
func TestNotOutOfMemory(t *testing.T) {
	needCommand(t, "perl")
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		dir := limited(t, "memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(memoryLimit))
		args := joins(dir, "sh", "-c", eater)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err == nil {
			missing(t, "the limit of memory has no effect: %s", out)
		}
		c := startInMemory(t, dir, m, "--stop-grace", "0", "-k", "0", "--",
			"sh", "-c", `trap "" TERM; sleep 1000 & read x; echo ready; while :; do sleep 1000; done`)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGTERM)
		r := c.wait()
		r.want(t, 137)
		if strings.Contains(r.stderr, "memory") {
			t.Errorf("stderr: %s", r.stderr)
		}
	})
}
