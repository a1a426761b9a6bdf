package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

const (
	roleEnv = "TEST_FINITE_ROLE"
	cageEnv = "TEST_FINITE_CAGE"
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

// cage is one run of finite in a PID namespace of its own.
type cage struct {
	t      *testing.T
	cmd    *exec.Cmd
	mode   mode
	stdout *lines
	stderr *lines
	report *os.File
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
func start(t *testing.T, m mode, args ...string) *cage {
	t.Helper()
	return startSpec(t, cageSpec{Mode: m, Args: append([]string{finiteBin}, args...)}, nil)
}

func startSpec(t *testing.T, spec cageSpec, change func(*exec.Cmd)) *cage {
	t.Helper()
	text, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	up, down, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := &cage{t: t, mode: spec.Mode, stdout: newLines(), stderr: newLines(), report: up}
	c.cmd = exec.Command(testBinary(t))
	testkit.Slow() // which the cage is told by the environment
	c.cmd.Env = append(os.Environ(), roleEnv+"=cage", cageEnv+"="+string(text), "GORACE=atexit_sleep_ms=0")
	c.cmd.Stdout, c.cmd.Stderr = c.stdout, c.stderr
	c.cmd.ExtraFiles = []*os.File{down} // descriptor 3 in the cage
	c.cmd.WaitDelay = patience()
	c.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		if spec.Mode == asNobody {
			missing(t, "needs root to become another user")
		}
		c.cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		c.cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if change != nil {
		change(c.cmd)
	}
	if err := startLocked(c.cmd); err != nil {
		missing(t, "cannot make a PID namespace: %v", err)
	}
	down.Close()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill() // PID 1 of the cage: everybody in it ends
		_ = c.cmd.Wait()
		up.Close()
	})
	return c
}

var testBinary = func() func(*testing.T) string {
	var once sync.Once
	var path string
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			// A copy that every user may execute.
			path = filepath.Join(filepath.Dir(finiteBin), "cage")
			exe, err := os.Executable()
			if err == nil {
				err = copyFile(path, exe)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		return path
	}
}()

// pid returns finite's PID as the test sees it.
func (c *cage) pid() int {
	c.t.Helper()
	if c.mode == asInit {
		return c.cmd.Process.Pid
	}
	deadline := time.Now().Add(patience())
	for time.Now().Before(deadline) {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", c.cmd.Process.Pid))
		for _, task := range tasks {
			b, _ := os.ReadFile(task)
			if f := strings.Fields(string(b)); len(f) > 0 {
				pid, _ := strconv.Atoi(f[0])
				return pid
			}
		}
	}
	c.t.Fatal("finite does not run in its cage")
	return 0
}

func (c *cage) signal(sig unix.Signal) {
	c.t.Helper()
	if err := unix.Kill(c.pid(), sig); err != nil {
		c.t.Fatalf("kill: %v", err)
	}
}

// wait waits for the end of the run.
func (c *cage) wait() result {
	c.t.Helper()
	return c.waitLong(patience())
}

func (c *cage) waitLong(limit time.Duration) result {
	c.t.Helper()
	hang := time.AfterFunc(limit, func() { _ = c.cmd.Process.Kill() })
	err := c.cmd.Wait()
	if !hang.Stop() {
		c.t.Fatalf("the run did not end\nstdout: %s\nstderr: %s", c.stdout, c.stderr)
	}
	c.stdout.close()
	c.stderr.close()
	r := result{status: exitCode(c.t, err), stdout: c.stdout.String(), stderr: c.stderr.String()}
	if c.mode == asInit {
		return r
	}
	text, _ := io.ReadAll(c.report)
	var report cageReport
	if err := json.Unmarshal(text, &report); err != nil {
		c.t.Fatalf("the cage told nothing (%v), it ended with %v\nstderr: %s", err, c.cmd.ProcessState, r.stderr)
	}
	r.status, r.left = report.Status, report.Left
	return r
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		ws := exit.Sys().(syscall.WaitStatus)
		if ws.Signaled() {
			return -int(ws.Signal()) // finite never dies of a signal
		}
		return ws.ExitStatus()
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
