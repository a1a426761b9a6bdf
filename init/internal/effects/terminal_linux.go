package effects

import (
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/signals"
)

// terminal is the controlling terminal. Where finite's process group is in its foreground at the
// start, the command's group takes that place, and finite's own has it again at the end
// (tcsetpgrp(3), setpgid(2), credentials(7)).
type terminal struct {
	fd         int
	group      int  // finite's own process group
	command    int  // the command's, once it runs
	foreground bool // finite had the foreground at the start
}

// openTerminal returns the controlling terminal, nil if there is none.
func openTerminal() *terminal {
	t := &terminal{fd: -1, group: unix.Getpgrp()}
	fd, err := sys.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK)
	if err == nil {
		t.fd = fd
	} else {
		// A minimal image may lack /dev/tty, but the terminal is usually here already.
		for std := range 3 {
			if !sys.IsCharDevice(std) { // a file system may be asked about others, and may not answer
				continue
			}
			if _, err := sys.Foreground(std); err != nil {
				continue
			}
			if fd, err := unix.FcntlInt(uintptr(std), unix.F_DUPFD_CLOEXEC, 3); err == nil {
				t.fd = fd
				break
			}
		}
	}
	if t.fd < 0 {
		return nil
	}
	t.foreground = t.has(t.group)
	return t
}

func (t *terminal) has(group int) bool {
	current, err := sys.Foreground(t.fd)
	return err == nil && current == group
}

func (t *terminal) set(group int) {
	// From the background this raises SIGTTOU, which would stop finite.
	_ = signals.Shielded(func() error { return sys.SetForeground(t.fd, group) })
}

// adopt notes the command's process group, and reports whether that got the foreground if finite
// had it.
func (t *terminal) adopt(command int) bool {
	t.command = command
	return !t.foreground || !t.has(t.group)
}

// give hands the foreground to the command's group, if finite's own has it: a shell that resumes a
// job puts finite's there.
func (t *terminal) give() {
	if t.command != 0 && t.has(t.group) {
		t.set(t.command)
	}
}

// suspend stops finite's process group because the command was stopped by the terminal: the shell
// that waits for finite then takes the terminal back and offers to resume the job. It does nothing
// where no such shell is there, since finite would never be resumed.
func (t *terminal) suspend() {
	if hasJobControlParent(procfs.NewProc(), t.group) {
		_ = unix.Kill(0, unix.SIGSTOP)
	}
}

// hasJobControlParent reports whether finite's process group is not orphaned: whether an ancestor
// in the same session is in another group. Ancestors within the group (a script) are passed over.
func hasJobControlParent(proc *procfs.Proc, group int) bool {
	session, err := unix.Getsid(0)
	if err != nil {
		return false
	}
	for pid := unix.Getppid(); pid > 1; {
		parent, err := proc.Status(pid) // stat may hang
		if err == nil && parent.PGRP == 0 {
			var stat procfs.Stat
			stat, err = proc.Stat(pid)
			parent.PGRP, parent.Session = stat.PGRP, stat.Session
		}
		if err != nil || parent.Session != session {
			return false
		}
		if parent.PGRP != group {
			return true
		}
		pid = parent.PPID
	}
	return false
}

// close takes the foreground back from the command's group, or from a group that is gone, and
// forgets the terminal. A shell that has it meanwhile, or another of its jobs, keeps it.
func (t *terminal) close() {
	current, err := sys.Foreground(t.fd)
	if err == nil && current != t.group &&
		(current == t.command || t.foreground && unix.Kill(-current, 0) == unix.ESRCH) {
		t.set(t.group)
	}
	sys.Close(t.fd)
}
