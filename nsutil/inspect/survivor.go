package inspect

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
)

// Survivor is a process that was sent SIGKILL and is still there.
type Survivor struct {
	PID    int
	Comm   string
	State  byte // as in /proc/PID/stat
	UID    int
	WChan  string   // the kernel function it sleeps in, where the kernel tells
	Stack  []string // its kernel stack, innermost first, where this process may read it (CAP_SYS_ADMIN)
	Tracer int      // the PID of its tracer, 0 for none
	Why    string   // why it is still there, in plain words
}

// FindSurvivors describes everything that a [Snapshot] would, in the order of PIDs, and why it is
// still there. It returns after limit with what it has by then.
func FindSurvivors(role nsutil.Role, leaf *cgroup.Cgroup, limit time.Duration) ([]Survivor, error) {
	return findSurvivors(&collector{role: role, leaf: leaf, proc: procfs.NewProc(), root: nsutil.Root(), self: os.Getpid(), stacks: true}, limit)
}

func findSurvivors(c *collector, limit time.Duration) ([]Survivor, error) {
	snapshot, err := takeSnapshot(c, limit)
	if err != nil {
		return nil, err
	}
	proc := c.proc.Another() // the collector may be at work still
	var all []Survivor
	for i := range snapshot.Processes {
		p := &snapshot.Processes[i]
		s := Survivor{PID: p.PID, Comm: p.Comm, State: p.State[0], UID: p.UID, WChan: p.WChan, Stack: p.stack, Tracer: p.Tracer}
		tracer := ""
		if s.Tracer != 0 {
			tracer, _ = proc.Comm(s.Tracer)
		}
		s.Why = explain(s, p, tracer, unix.Kill(s.PID, 0) == unix.EPERM)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Survivor) int { return a.PID - b.PID })
	return all, nil
}

// explain says in plain words why a process that was sent SIGKILL is still there.
func explain(s Survivor, p *Process, tracer string, refused bool) string {
	switch {
	case s.State == 'Z' && s.Tracer == 0 && p.init:
		return "dead, but the kernel lets nobody have it before the rest of its PID namespace is gone"
	case p.frozenBy != "":
		return "frozen by the v1 cgroup " + p.frozenBy + ": even SIGKILL waits until that is thawed"
	case s.State == 'Z' && s.Tracer != 0:
		return fmt.Sprintf("dead, but its tracer %s (pid %d) has not let go of it", tracer, s.Tracer)
	case s.State == 'Z':
		return fmt.Sprintf("dead, but its parent (pid %d) has not reaped it", p.PPID)
	case s.State == 'D' && s.WChan != "":
		return "in uninterruptible sleep in the kernel, in " + s.WChan
	case s.State == 'D':
		return "in uninterruptible sleep in the kernel"
	case refused:
		return fmt.Sprintf("belongs to uid %d, which may not be signalled from here", s.UID)
	case s.Tracer != 0:
		return fmt.Sprintf("held by its tracer %s (pid %d)", tracer, s.Tracer)
	}
	return "still ending"
}

// parseStack reads the text of /proc/PID/stack: lines of the form "[<0>] function+0x12/0x34".
func parseStack(b []byte) []string {
	var frames []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if _, frame, ok := strings.Cut(line, "] "); ok {
			line = frame
		}
		if line != "" {
			frames = append(frames, line)
		}
	}
	return frames
}
