package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// run runs the cage of a round.
func (e *evidence) run(t *testing.T, o order, place func(*exec.Cmd)) (err error) {
	limit := testkit.Stretched(
		time.Duration(2*shortDeadline)*time.Millisecond,
	) + testkit.Stretched(
		40*time.Second,
	)
	e.seen, e.stderr, err = runCage(t, o, place, limit)
	return err
}

// runCage runs what is ordered in a PID namespace, which is ended after some time.
func runCage(
	t *testing.T,
	o order,
	place func(*exec.Cmd),
	limit time.Duration,
) (s seen, stderr string, err error) {
	t.Helper()
	testkit.Slow() // which the cage is told by the environment
	text, err := json.Marshal(o)
	if err != nil {
		return s, "", err
	}
	up, down, err := os.Pipe()
	if err != nil {
		return s, "", err
	}
	defer up.Close()
	var said bytes.Buffer
	cmd := exec.Command(selfBin)
	cmd.Env = append(os.Environ(), roleEnv+"=observer", orderEnv+"="+string(text), "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = &said
	cmd.ExtraFiles = []*os.File{down} // descriptor 3 in the cage
	cmd.WaitDelay = testkit.Stretched(10 * time.Second)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Setsid:     true,
		Pdeathsig:  syscall.SIGKILL,
	}
	if place != nil {
		place(cmd)
	}
	if err := testkit.StartLocked(cmd); err != nil {
		down.Close()
		testkit.Missing(t, "cannot make a PID namespace: %v", err)
	}
	down.Close()
	var hung string
	hang := time.AfterFunc(limit, func() {
		hung = describeTree(cmd.Process.Pid)
		_ = cmd.Process.Kill()
	})
	told, _ := io.ReadAll(up)
	_ = cmd.Wait()
	if !hang.Stop() {
		return s, said.String(), fmt.Errorf(
			"violation: it never ended:\n%sstderr: %s",
			hung,
			strings.TrimSpace(said.String()),
		)
	}
	if err := json.Unmarshal(told, &s); err != nil {
		return s, said.String(), fmt.Errorf(
			"the observer told nothing (it ended with %v): %w; stderr: %s",
			cmd.ProcessState,
			err,
			said.String(),
		)
	}
	return s, said.String(), nil
}

// describeTree says of every process below one what it is doing: the beginning of its stat, and
// where its first thread is in the kernel.
func describeTree(top int) string {
	dir := fmt.Sprintf("/proc/%d/task/%d", top, top)
	stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
	stack, _ := os.ReadFile(filepath.Join(dir, "stack"))
	text := fmt.Sprintf(
		"%.40s %.120s\n",
		stat,
		strings.ReplaceAll(strings.Join(strings.Fields(string(stack)), " "), "[<0>] ", ""),
	)
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", top))
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for word := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(word); err == nil {
				text += describeTree(pid)
			}
		}
	}
	return text
}
