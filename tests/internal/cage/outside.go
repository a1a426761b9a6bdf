package cage

import (
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

// Cage is a PID namespace, as the test sees it.
type Cage struct {
	*exec.Cmd // PID 1
	told      *os.File
	hung      string // what everybody did when PID 1 had to be killed
}

// Start makes a cage, in which the test binary plays a role as PID 1. Change may change the command
// before it is started; descriptor 3 is taken. The cage ends with the test. Without root the cage
// has a user namespace. Where no cage can be made, the test is skipped.
func Start(t *testing.T, role string, order any, change func(*exec.Cmd)) *Cage {
	t.Helper()
	testkit.Slow() // which the inside is told by the environment
	env, err := environment(os.Environ(), role, order)
	if err != nil {
		t.Fatal(err)
	}
	up, down, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer down.Close()
	c := &Cage{Cmd: exec.Command(Self), told: up}
	c.Env = append(env, "GORACE=atexit_sleep_ms=0")
	c.ExtraFiles = []*os.File{down} // toldFD
	c.WaitDelay = testkit.Patience()
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	if change != nil {
		change(c.Cmd)
	}
	if err := testkit.StartLocked(c.Cmd); err != nil {
		up.Close()
		testkit.Missing(t, "cannot make a PID namespace: %v", err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill() // everybody in it ends
		_ = c.Wait()
		up.Close()
	})
	return c
}

// Hear reads the next thing that the inside tells.
func (c *Cage) Hear(seen any, limit time.Duration) error {
	if err := c.told.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	return json.NewDecoder(c.told).Decode(seen)
}

// End waits for the end of PID 1, and reads what the inside tells, unless seen is nil. After the
// limit PID 1 is killed, and the error says what everybody did.
func (c *Cage) End(seen any, limit time.Duration) error {
	hang := time.AfterFunc(limit, func() {
		c.hung = describe(c.Process.Pid)
		_ = c.Process.Kill()
	})
	var unheard error
	if seen != nil { // before the end: there may be more than a pipe holds
		unheard = json.NewDecoder(c.told).Decode(seen)
	}
	_ = c.Wait()
	switch {
	case !hang.Stop():
		return fmt.Errorf("it never ended:\n%s", c.hung)
	case unheard != nil && unheard != io.EOF:
		return unheard
	case unheard != nil:
		return fmt.Errorf("PID 1 of the cage told nothing, and ended with %v", c.ProcessState)
	}
	return nil
}

// Child returns the PID of a child of a process, as soon as there is one.
func Child(t *testing.T, parent int) int {
	t.Helper()
	for deadline := time.Now().Add(testkit.Patience()); time.Now().Before(deadline); {
		if pids := Children(parent); len(pids) > 0 {
			return pids[0]
		}
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// Children lists the children of all threads of a process.
func Children(pid int) (pids []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// describe has a line for every thread of a process and of its descendants: the beginning of its
// stat, and its kernel stack.
func describe(top int) string {
	var b strings.Builder
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", top))
	for _, task := range tasks {
		stat, _ := os.ReadFile(filepath.Join(task, "stat"))
		stack, _ := os.ReadFile(filepath.Join(task, "stack"))
		calls := strings.ReplaceAll(strings.Join(strings.Fields(string(stack)), " "), "[<0>] ", "")
		fmt.Fprintf(&b, "%.60s %.200s\n", stat, calls)
	}
	for _, pid := range Children(top) {
		b.WriteString(describe(pid))
	}
	return b.String()
}
