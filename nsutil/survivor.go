package nsutil

import (
	"fmt"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
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

// Survivors describes everything in the tree, in the order of PIDs. It reads only what cannot hang.
func (t *Tree) Survivors() ([]Survivor, error) {
	pids, err := t.Members()
	if err != nil {
		return nil, err
	}
	sort.Ints(pids)
	var all []Survivor
	for _, pid := range pids {
		if s, ok := t.describe(pid); ok {
			all = append(all, s)
		}
	}
	return all, nil
}

func (t *Tree) describe(pid int) (Survivor, bool) {
	st, err := t.proc.Stat(pid)
	if err != nil {
		return Survivor{}, false // gone
	}
	s := Survivor{PID: pid, Comm: st.Comm, State: st.State}
	init := false // of a PID namespace below this one
	if status, err := t.proc.Status(pid); err == nil {
		s.UID, s.Tracer = status.UID, status.TracerPID
		init = len(status.NSpid) > 1 && status.NSpid[len(status.NSpid)-1] == 1
	}
	s.WChan = t.proc.WChan(pid)
	if b, err := t.proc.read(pid, "stack"); err == nil {
		s.Stack = parseStack(b)
	}
	tracer := ""
	if s.Tracer != 0 {
		if st, err := t.proc.Stat(s.Tracer); err == nil {
			tracer = st.Comm
		}
	}
	s.Why = explain(s, st.PPID, tracer, unix.Kill(pid, 0) == unix.EPERM)
	if s.State == 'Z' && s.Tracer == 0 && init {
		s.Why = "dead, but the kernel lets nobody have it before the rest of its PID namespace is gone"
	}
	return s, true
}

// explain says in plain words why a process that was sent SIGKILL is still there.
func explain(s Survivor, ppid int, tracer string, refused bool) string {
	switch {
	case s.State == 'Z' && s.Tracer != 0:
		return fmt.Sprintf("dead, but its tracer %s (pid %d) has not let go of it", tracer, s.Tracer)
	case s.State == 'Z':
		return fmt.Sprintf("dead, but its parent (pid %d) has not reaped it", ppid)
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
