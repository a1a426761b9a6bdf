package pid1

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
)

// child is a command that was started.
type child struct {
	pid   int
	pidfd int // -1 where the kernel gave none
	how   forkMode
	err   error // why it is not in its cgroup; nil where it is, or has none
}

// startError says at which step a start failed.
type startError struct {
	step Step
	err  error
}

func (e *startError) Error() string { return fmt.Sprintf("%s: %v", e.step, e.err) }

// spawn starts the command: in a process group of its own, in the foreground of the terminal if
// finite was, with a pidfd from clone. It is called on the reaper's thread and returns when the
// command has been executed, or could not be.
func spawn(cfg *Config, term *terminal) (child, *startError) {
	env := cfg.Env
	if env == nil {
		env = keeper.Environ()
	}
	path, err := lookPath(cfg.Args[0], env)
	if err != nil {
		return child{}, &startError{StepLookup, err}
	}
	c, err := fork(cfg, path, cfg.Args, env, term)
	if errors.Is(err, unix.ENOEXEC) {
		// A script without an interpreter line: as execvp(3) and every shell do.
		args := append([]string{"/bin/sh", path}, cfg.Args[1:]...)
		if viaShell, shellErr := fork(cfg, args[0], args, env, term); shellErr == nil {
			return viaShell, nil
		}
	}
	var step *startError
	switch {
	case err == nil:
		return c, nil
	case errors.As(err, &step):
		return child{}, step
	case isExhausted(err):
		return child{}, &startError{StepClone, err}
	}
	return child{}, &startError{StepExec, err}
}

// forkMode is what is asked of the kernel that it may refuse.
type forkMode struct {
	pidfd  bool
	tty    int // the terminal whose foreground the command gets; -1: none
	cgroup int // the descriptor of the cgroup it is to be cloned into (CLONE_INTO_CGROUP, Linux 5.7); -1: this process's own
}

// fork tries to start path with everything, and then without what the kernel, a filter or the
// terminal refuses. A refusal that is really the execution's comes back from every try, where the
// two cannot be told apart.
func fork(cfg *Config, path string, args, env []string, term *terminal) (child, error) {
	tty := -1
	if term != nil && term.foreground {
		tty = term.fd
	}
	modes := []forkMode{{true, tty, -1}, {true, -1, -1}, {false, tty, -1}, {false, -1, -1}}
	if cfg.leaf != nil {
		var into []forkMode
		for _, mode := range modes {
			mode.cgroup = cfg.leaf.FD()
			into = append(into, mode)
		}
		if cfg.Cgroup != CgroupRequire {
			into = append(into, modes...)
		}
		modes = into
	}
	var first error
	for _, how := range modes {
		c, err := forkExec(how, path, args, env, cfg.Dir)
		if err == nil {
			if cfg.leaf != nil && how.cgroup < 0 {
				c.err = first
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
	if cfg.leaf != nil && cfg.Cgroup == CgroupRequire {
		return child{}, &startError{StepCgroup, fmt.Errorf("--cgroup require: %w", first)}
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

// isExhausted reports whether there was too little of something for a process to be made.
func isExhausted(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}

// errCgroup says that a command could not be put into its cgroup.
var errCgroup = errors.New("it cannot be put into its cgroup")

// forkExec starts a command with what the Go runtime makes of the inherited signal mask and ignored
// set.
func forkExec(how forkMode, path string, args, env []string, dir string) (child, error) {
	c := child{pidfd: -1, how: how}
	sys := &syscall.SysProcAttr{Setpgid: true}
	if how.cgroup >= 0 {
		sys.UseCgroupFD, sys.CgroupFD = true, how.cgroup
	}
	if how.pidfd {
		sys.PidFD = &c.pidfd
	}
	if how.tty >= 0 {
		sys.Foreground, sys.Ctty = true, how.tty
	}
	attr := &syscall.ProcAttr{Dir: dir, Env: env, Files: []uintptr{0, 1, 2}, Sys: sys}
	var err error
	c.pid, err = syscall.ForkExec(path, args, attr)
	executable := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) == nil
	if how.cgroup >= 0 && (err == unix.EACCES && executable || err == unix.EBUSY || err == unix.EOPNOTSUPP || err == unix.ENODEV) {
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
		if st.Mode&unix.S_IFMT == unix.S_IFDIR || unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS) != nil {
			found = unix.EACCES
			continue
		}
		return file, nil
	}
	return "", found
}
