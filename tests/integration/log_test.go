package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// What finite says never holds it up and never ends it.
func TestStderrThatNobodyReads(t *testing.T) {
	atOnce(t, allModes, func(t *testing.T, m mode) {
		c := startSpec(t, cageSpec{
			Mode: m, Args: []string{
				finiteBin, "-vv", "-t", stretch("300ms"), "-k", stretch("200ms"),
				"--", "sh", "-c", `trap "" TERM; sleep 1000`,
			},
		},
			func(cmd *exec.Cmd) { cmd.Stderr = testkit.FullPipe(t) })
		c.wait().want(t, 124)
	})
}

// Nor does what it says when it supervises nothing.
func TestUsageErrorThatNobodyReads(t *testing.T) {
	c := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{finiteBin, "--bogus"}}, func(cmd *exec.Cmd) {
		cmd.Stderr = testkit.FullPipe(t)
	})
	c.wait().want(t, 125)
}

func TestStderrThatIsGone(t *testing.T) {
	const script = `trap "" TERM; echo ready; sleep 1000`
	atOnce(t, allModes, func(t *testing.T, m mode) {
		t.Run("a pipe without a reader", func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
			c := startSpec(t, cageSpec{
				Mode: m, Args: []string{
					finiteBin, "-vv", "-t", stretch("300ms"), "-k", stretch("200ms"), "--", "sh", "-c", script,
				},
			},
				func(cmd *exec.Cmd) { cmd.Stderr = w })
			w.Close()
			c.wait().want(t, 124)
		})
		t.Run("closed", func(t *testing.T) {
			c := startSpec(t, cageSpec{Mode: m, Args: []string{
				"/bin/sh", "-c", `exec "$@" 0<&- 2>&-`, "sh", finiteBin,
				"-vv", "-t", stretch("300ms"), "-k", stretch("200ms"), "--", "sh", "-c", script,
			}}, nil)
			c.wait().want(t, 124)
		})
	})
}

func TestLogFormats(t *testing.T) {
	r := run(t, asSubreaper, "--log-format", "json", "-vv", "-t", stretch("100ms"), "--", "sleep", "1000")
	r.want(t, 124)
	found := false
	for line := range strings.Lines(r.stderr) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, key := range []string{"time", "level", "severity", "message"} {
			if entry[key] == nil {
				t.Errorf("%q has no %q", line, key)
			}
		}
		found = found || entry["severity"] == "WARNING" &&
			strings.Contains(entry["message"].(string), "the deadline was reached")
	}
	if !found {
		t.Errorf("no warning of the deadline:\n%s", r.stderr)
	}
	// Silent where nothing is abnormal; silent but for errors where that is asked for.
	if r := run(t, asSubreaper, "--", "sh", "-c", "(:&); exit 3"); r.stderr != "" {
		t.Errorf("stderr: %q", r.stderr)
	}
	if r := run(t, asSubreaper, "--log-level", "error", "-vv", "-t", stretch("100ms"),
		"--", "sleep", "1000"); r.stderr != "" {
		t.Errorf("stderr: %q", r.stderr)
	}
}

// A name that the command chose cannot write to the terminal.
func TestLogIsPrintable(t *testing.T) {
	r := run(t, asSubreaper, "--", "no\x1b[31m\nsuch")
	r.want(t, 127)
	if strings.ContainsAny(strings.TrimSuffix(r.stderr, "\n"), "\x1b\n") {
		t.Errorf("stderr: %q", r.stderr)
	}
}

// The command does not see the variables that are options.
func TestEnvironmentIsConsumed(t *testing.T) {
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		c := startSpec(t, cageSpec{Mode: m, Args: []string{finiteBin, "env"}}, func(cmd *exec.Cmd) {
			cmd.Env = append(cmd.Env, "FINITE_TIMEOUT=1h", "FINITE_EXPECT=9", "FINITE_SERVICE_HOST=kept")
		})
		r := c.wait()
		r.want(t, 0)
		if strings.Contains(r.stdout, "FINITE_TIMEOUT") || strings.Contains(r.stdout, "FINITE_EXPECT") ||
			!strings.Contains(r.stdout, "FINITE_SERVICE_HOST=kept") {
			t.Errorf("stdout: %q", r.stdout)
		}
	})
}

// A line is written where the limits leave room for no process and no descriptor.
func TestLineWithinNoLimits(t *testing.T) {
	needCommand(t, "prlimit")
	r := run(t, asNobody, "-t", stretch("1s"), "-k", "0", "--", "sh", "-c",
		`prlimit --pid $PPID --nproc=0:0 --nofile=0:0; exec sleep 1000`)
	if r.want(t, 124); r.stderr != "finite: the deadline was reached: SIGKILL to everything\n" {
		t.Errorf("stderr %q", r.stderr)
	}
}

// What keeper and supervisor both see is said once.
func TestGraceIsOverOnce(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		t.Parallel()
		const script = `(trap "" TERM; exec setsid sleep 1000) & while :; do sleep 1000; done`
		r := run(t, m, "-t", stretch("500ms"), "-k", stretch("300ms"), "--", "sh", "-c", script)
		if r.want(t, 124); strings.Count(r.stderr, "the grace time is over") != 1 {
			t.Errorf("stderr %q", r.stderr)
		}
	})
}

// A line that nobody reads leaves no writer.
func TestLineThatNobodyReads(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		t.Parallel()
		c := startSpec(t, cageSpec{
			Mode: m, Args: []string{finiteBin, "-t", stretch("300ms"), "-k", "0", "--", "sleep", "1000"},
		}, func(cmd *exec.Cmd) { cmd.Stderr = testkit.FullPipe(t) })
		r := c.wait()
		r.want(t, 124)
		wantCalm(t, r)
	})
}
