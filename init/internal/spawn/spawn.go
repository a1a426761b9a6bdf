package spawn

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil/cgroup"
)

// Command is what is to be executed, and where.
type Command struct {
	Args           []string
	Env            []string       // nil: that of this process
	Dir            string         // empty: that of this process
	Cgroup         *cgroup.Cgroup // that it is started in; nil: that of this process
	CgroupRequired bool           // it is not started outside of that
}

// child is a command that was started.
type child struct {
	Pid   int
	Pidfd int // -1 where the kernel gave none
	How   forkMode
	Err   error // why it is not in its cgroup; nil where it is, or has none
}

// startError says at which step a start failed.
type startError struct {
	Step ending.Step
	Err  error
}

func (e *startError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }

// StartChild starts the command: in a process group of its own, in the foreground of a terminal if
// tty is its descriptor and not -1, with a pidfd from clone. It is called on the reaper's thread
// and returns when the command has been executed, or could not be.
func StartChild(cmd *Command, tty int) (child, *startError) {
	env := cmd.Env
	if env == nil {
		env = keeper.Environ()
	}
	path, err := lookPath(cmd.Args[0], env)
	if err != nil {
		return child{}, &startError{ending.StepLookup, err}
	}
	c, err := fork(cmd, path, cmd.Args, env, tty)
	if errors.Is(err, unix.ENOEXEC) {
		// A script without an interpreter line: as execvp(3) and every shell do.
		args := append([]string{"/bin/sh", path}, cmd.Args[1:]...)
		if viaShell, shellErr := fork(cmd, args[0], args, env, tty); shellErr == nil {
			return viaShell, nil
		}
	}
	var step *startError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &step):
		return child{}, step
	case IsExhausted(err):
		return child{}, &startError{ending.StepClone, err}
	}
	return child{}, &startError{ending.StepExec, err}
}

// forkMode is what is asked of the kernel that it may refuse.
type forkMode struct {
	pidfd bool
	tty   int // the terminal whose foreground the command gets; -1: none
	// The descriptor of the cgroup it is to be cloned into (CLONE_INTO_CGROUP, Linux 5.7); -1: this
	// process's own.
	Cgroup int
}

// fork tries to start path with everything, and then without what the kernel, a filter or the
// terminal refuses. A refusal that is really the execution's comes back from every try, where the
// two cannot be told apart.
func fork(cmd *Command, path string, args, env []string, tty int) (child, error) {
	modes := []forkMode{{true, tty, -1}, {true, -1, -1}, {false, tty, -1}, {false, -1, -1}}
	if cmd.Cgroup != nil {
		var into []forkMode
		for _, mode := range modes {
			mode.Cgroup = cmd.Cgroup.FD()
			into = append(into, mode)
		}
		if !cmd.CgroupRequired {
			into = append(into, modes...)
		}
		modes = into
	}
	var first error
	for _, how := range modes {
		c, err := forkExec(how, path, args, env, cmd.Dir)
		if err == nil {
			if cmd.Cgroup != nil && how.Cgroup < 0 {
				c.Err = first
			}
			return c, nil
		}
		if !refusedStart(err) && !errors.Is(err, errCgroup) {
			return child{}, err
		}
		if first == nil {
			first = err
		}
	}
	if cmd.Cgroup != nil && cmd.CgroupRequired {
		return child{}, &startError{ending.StepCgroup, fmt.Errorf("a cgroup of its own is required: %w", first)}
	}
	return child{}, first
}

// refusedStart reports whether a start may have failed for what was asked for besides.
func refusedStart(err error) bool {
	switch err {
	case unix.EPERM, unix.EINVAL, unix.ENOSYS, unix.ENOTTY, unix.EIO:
		return true
	}
	return false
}

// IsExhausted reports whether there was too little of something for a process to be made.
func IsExhausted(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EMFILE) ||
		errors.Is(err, unix.ENFILE)
}

// errCgroup says that a command could not be put into its cgroup.
var errCgroup = errors.New("it cannot be put into its cgroup")

// forkExec starts a command with what the Go runtime makes of the inherited signal mask and ignored
// set.
func forkExec(how forkMode, path string, args, env []string, dir string) (child, error) {
	c := child{Pidfd: -1, How: how}
	sys := &syscall.SysProcAttr{Setpgid: true}
	if how.Cgroup >= 0 {
		sys.UseCgroupFD, sys.CgroupFD = true, how.Cgroup
	}
	if how.pidfd {
		sys.PidFD = &c.Pidfd
	}
	if how.tty >= 0 {
		sys.Foreground, sys.Ctty = true, how.tty
	}
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Files: []uintptr{0, 1, 2}, Sys: sys}
	var err error
	c.Pid, err = syscall.ForkExec(path, args, attr)
	executable := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
	if how.Cgroup >= 0 &&
		(err == unix.EACCES && executable || err == unix.EBUSY || err == unix.EOPNOTSUPP || err == unix.ENODEV) {
		err = fmt.Errorf("%w: %w", errCgroup, err)
	}
	return c, err
}

// defaultPath is where commands are looked up if the environment has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// lookPath finds the file that name stands for, as execvp(3) does: a name with a slash is a path,
// any other is looked up in PATH. What is found but cannot be executed is passed over, and is the
// error (EACCES) if nothing else is found.
func lookPath(name string, env []string) (string, error) {
	if name == "" {
		return "", unix.ENOENT
	}
	if strings.Contains(name, "/") {
		return name, nil // what is wrong with it, execve(2) says best
	}
	path := defaultPath
	for _, kv := range env {
		if value, ok := strings.CutPrefix(kv, "PATH="); ok {
			path = value
		}
	}
	found := error(unix.ENOENT)
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "."
		}
		file := dir + "/" + name
		var st unix.Stat_t
		if err := unix.Stat(file, &st); err != nil {
			if err == unix.EACCES {
				found = err
			}
			continue
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR ||
			unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS) != nil {
			found = unix.EACCES
			continue
		}
		return file, nil
	}
	return "", found
}

// GiveBack removes the cgroup of a command that is not started.
func (c *Command) GiveBack() {
	if c != nil && c.Cgroup != nil {
		_ = c.Cgroup.Remove(0)
	}
}
