//go:build amd64 || arm64

package pid1

import (
	"runtime"
	"strings"
	"syscall"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// launch is what a child needs to become the command. The assembly knows the offsets; a test compares them.
type launch struct {
	path    *byte
	argv    **byte
	envv    **byte
	dir     *byte // nil: as it is
	flags   uint64
	ignored signals.Set
	mask    signals.Set
	blocked signals.Set  // all
	before  signals.Set  // the thread's mask, put back at the end
	files   *unix.Rlimit // RLIMIT_NOFILE; nil: as it is
	action  [4]uint64    // a struct sigaction for the child to work with
	pidfd   int32        // -1 where the kernel gave none
	tty     int32        // -1: the foreground is not handed over
	pid     int32        // an error where it is below 0
	errno   int32        // why the command could not be executed
	slack   int64        // timer slack in ns; 0: as it is
	precise int64        // the thread's own, put back at the end
	args    [8]uint64    // struct clone_args, of which the assembly fills in pidfd; flags 0: clone(2) does it
}

// Where they are in struct clone_args (clone(2)).
const (
	argsFlags      = 0
	argsExitSignal = 4
)

// vfork makes a child that executes the command, and returns when it has, or could not.
//
//go:noescape
func vfork(l *launch)

// The runtime's own words before and after a system call that may take long, which it keeps open to others (runtime, "Notable members of the
// hall of shame"). Nothing between them may need more stack.
//
//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// vforkAway is vfork for an execution that may hang, on a file system that does not answer: other goroutines go on meanwhile, also if there
// is one processor only.
//
//go:nosplit
//go:norace
func vforkAway(l *launch) {
	entersyscall()
	vfork(l)
	exitsyscall()
}

// forkInherited starts a command with exactly the signal mask, the ignored set and the limit of open files that this process was started
// with, and the same timer slack. That takes code between clone(2) and execve(2) that cannot be written in Go: syscall.ForkExec leaves no signal ignored that the
// runtime handles, and a second program that puts things right before it executes the command would have to be found by a path.
func forkInherited(how forkMode, path string, args, env []string, dir string, inherited *signals.Inherited) (child, error) {
	l := launch{
		flags:   unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD),
		ignored: inherited.Ignored,
		mask:    inherited.Mask,
		blocked: ^signals.Set(0),
		pidfd:   -1,
		tty:     int32(how.tty),
		slack:   int64(inherited.TimerSlack),
	}
	if how.pidfd {
		l.flags |= unix.CLONE_PIDFD
	}
	if how.clear {
		l.args[argsFlags] = l.flags&^0xff | unix.CLONE_CLEAR_SIGHAND
		l.args[argsExitSignal] = uint64(unix.SIGCHLD)
	}
	if inherited.Files.Max > 0 {
		l.files = &inherited.Files
	}
	var err error
	var argv, envv []*byte
	if argv, err = cStrings(args); err != nil {
		return child{}, err
	}
	if envv, err = cStrings(env); err != nil {
		return child{}, err
	}
	if l.path, err = syscall.BytePtrFromString(path); err != nil {
		return child{}, err
	}
	if dir != "" {
		if l.dir, err = syscall.BytePtrFromString(dir); err != nil {
			return child{}, err
		}
	}
	l.argv, l.envv = &argv[0], &envv[0]
	vforkAway(&l)
	runtime.KeepAlive(argv)
	runtime.KeepAlive(envv)
	c := child{pid: int(l.pid), pidfd: int(l.pidfd)}
	switch {
	case l.pid < 0:
		return child{}, &cloneError{syscall.Errno(-l.pid)}
	case l.errno != 0:
		if c.pidfd >= 0 {
			_ = unix.Close(c.pidfd)
		}
		reap.Discard(c.pid)
		return child{}, syscall.Errno(l.errno)
	}
	return c, nil
}

// cStrings returns what execve(2) wants for a list of strings. All of them are in one block of memory.
func cStrings(list []string) ([]*byte, error) {
	size := 0
	for _, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, syscall.EINVAL
		}
		size += len(s) + 1
	}
	block := make([]byte, size)
	pointers := make([]*byte, len(list)+1)
	for i, s := range list {
		pointers[i] = &block[0]
		block = block[copy(block, s)+1:]
	}
	return pointers, nil
}
