package integration

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

// mode is how finite stands in its cage.
type mode string

const (
	asInit      mode = "init"      // finite is PID 1
	asSubreaper mode = "subreaper" // finite is the child of a PID 1 that reaps nothing and tells what is left
	asNobody    mode = "nobody"    // as that, as uid 65534 with no_new_privs
	asConsole   mode = "console"   // a session leader on a terminal is the child of a PID 1 that reaps
)

var allModes = []mode{asInit, asSubreaper, asNobody}

// cageSpec tells the process inside a new PID namespace what to do.
type cageSpec struct {
	Mode mode
	Args []string
	Env  []string // of a console, instead of the test's own
	Deny *denial  // system calls that are refused to finite
	Role string   // where not empty, this is what the test binary plays, wherever it is in Args
	Late bool     // what is left when finite has ended gets some time to end as well
}

// cageReport is what the PID 1 of a cage says when finite has ended.
type cageReport struct {
	Status int
	Left   []string
}

// caged is one run of finite in a cage.
type caged struct {
	*cage.Cage
	t      *testing.T
	mode   mode
	stdout *lines
	stderr *lines
}

// result is how a run ended.
type result struct {
	status int
	stdout string
	stderr string
	left   []string // who was left when finite had ended; always empty as PID 1
}

// lines collects output and lets a test wait for a part of it.
type lines struct {
	mu   sync.Mutex
	cond *sync.Cond
	buf  bytes.Buffer
	eof  bool
}

func newLines() *lines {
	l := &lines{}
	l.cond = sync.NewCond(&l.mu)
	return l
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cond.Broadcast()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.eof = true
	l.cond.Broadcast()
}

// await waits until text has been written.
func (l *lines) await(t *testing.T, text string) {
	t.Helper()
	l.awaitFrom(t, 0, text)
}

// awaitFrom waits until text has been written at an offset or behind it. It returns the offset of
// what follows the text.
func (l *lines) awaitFrom(t *testing.T, from int, text string) int {
	t.Helper()
	timer := time.AfterFunc(patience(), l.close)
	defer timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if at := strings.Index(l.buf.String()[from:], text); at >= 0 {
			return from + at + len(text)
		}
		if l.eof {
			t.Fatalf("no %q in the output:\n%s", text, l.buf.String()[from:])
		}
		l.cond.Wait()
	}
}

// start runs finite with args in a new cage.
func start(t *testing.T, m mode, args ...string) *caged {
	t.Helper()
	return startSpec(t, cageSpec{Mode: m, Args: append([]string{finiteBin}, args...)}, nil)
}

func startSpec(t *testing.T, spec cageSpec, change func(*exec.Cmd)) *caged {
	t.Helper()
	if spec.Mode == asNobody && os.Geteuid() != 0 {
		missing(t, "needs root to become another user")
	}
	c := &caged{t: t, mode: spec.Mode, stdout: newLines(), stderr: newLines()}
	c.Cage = cage.Start(t, "cage", spec, func(cmd *exec.Cmd) {
		cmd.Stdout, cmd.Stderr = c.stdout, c.stderr
		if change != nil {
			change(cmd)
		}
	})
	return c
}

// pid returns finite's PID as the test sees it.
func (c *caged) pid() int {
	c.t.Helper()
	if c.mode == asInit {
		return c.Process.Pid
	}
	return cage.Child(c.t, c.Process.Pid)
}

func (c *caged) signal(sig unix.Signal) {
	c.t.Helper()
	if err := unix.Kill(c.pid(), sig); err != nil {
		c.t.Fatalf("kill: %v", err)
	}
}

// wait waits for the end of the run.
func (c *caged) wait() result {
	c.t.Helper()
	return c.waitLong(patience())
}

func (c *caged) waitLong(limit time.Duration) result {
	c.t.Helper()
	var report cageReport
	var seen any
	if c.mode != asInit {
		seen = &report
	}
	if err := c.End(seen, limit); err != nil {
		c.t.Fatalf("%v\nstdout: %s\nstderr: %s", err, c.stdout, c.stderr)
	}
	c.stdout.close()
	c.stderr.close()
	r := result{status: report.Status, stdout: c.stdout.String(), stderr: c.stderr.String(), left: report.Left}
	if c.mode == asInit {
		r.status = cage.Status(c.ProcessState.Sys().(syscall.WaitStatus))
	}
	return r
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return cage.Status(exit.Sys().(syscall.WaitStatus))
	}
	t.Fatal(err)
	return 0
}

// run runs finite with args in a new cage and waits for its end.
func run(t *testing.T, m mode, args ...string) result {
	t.Helper()
	return start(t, m, args...).wait()
}

func (r result) want(t *testing.T, status int) {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d, want %d\nstderr: %s", r.status, status, r.stderr)
	}
	if len(r.left) > 0 {
		t.Errorf("left behind: %v\nstderr: %s", r.left, r.stderr)
	}
}

// atOnce is forModes for tests that wait more than they work.
func atOnce(t *testing.T, modes []mode, f func(t *testing.T, m mode)) {
	t.Helper()
	forModes(t, modes, func(t *testing.T, m mode) {
		t.Parallel()
		f(t, m)
	})
}

func forModes(t *testing.T, modes []mode, f func(t *testing.T, m mode)) {
	t.Helper()
	for _, m := range modes {
		t.Run(string(m), func(t *testing.T) { f(t, m) })
	}
}
