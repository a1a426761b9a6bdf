//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// entry is the ELF entry point.
func entry()

// rawSyscall makes a system call, and returns what the kernel does.
func rawSyscall(number, a, b, c, d, e, f uintptr) uintptr

// spawn is clone(2). The child calls run on the given stack. run must not return.
func spawn(flags uintptr, stack unsafe.Pointer, pidfd *int32, run func()) uintptr

// spawnInto is clone3(2) with struct clone_args at args. The child calls run, as for spawn.
func spawnInto(args, size uintptr, run func()) uintptr

// Variables that the assembly reads.
var (
	noG       [512]uintptr // in the place of a g, which has the bounds of the stack
	noTLS     [2]uintptr   // amd64: the address of noG, right below where FS points
	beginFunc = begin      // where Go code begins
)

// begin calls these by a variable, which the linker does not follow. It would add up the stack of
// all calls, and allow no more than a goroutine has. A process has more.
var (
	keepFunc     = keep
	frontFunc    = front
	makePlanFunc = makePlan
)

var _, _, _, _ = &noG, &noTLS, &beginFunc, entry // the assembly uses them, which linters do not see

// sys0 and the like make a system call. It returns a negative errno where it fails.
//
//go:nosplit
func sys0(number uintptr) int { return int(rawSyscall(number, 0, 0, 0, 0, 0, 0)) }

//go:nosplit
func sys1(number, a uintptr) int { return int(rawSyscall(number, a, 0, 0, 0, 0, 0)) }

//go:nosplit
func sys2(number, a, b uintptr) int { return int(rawSyscall(number, a, b, 0, 0, 0, 0)) }

//go:nosplit
func sys3(number, a, b, c uintptr) int { return int(rawSyscall(number, a, b, c, 0, 0, 0)) }

//go:nosplit
func sys4(number, a, b, c, d uintptr) int { return int(rawSyscall(number, a, b, c, d, 0, 0)) }

//go:nosplit
func sys5(number, a, b, c, d, e uintptr) int { return int(rawSyscall(number, a, b, c, d, e, 0)) }

// Errors as system calls return them.
const (
	errNoEntry     = -int(unix.ENOENT)
	errAgain       = -int(unix.EAGAIN)
	errNoChild     = -int(unix.ECHILD)
	errNoProcess   = -int(unix.ESRCH)
	errAccess      = -int(unix.EACCES)
	errNoSystem    = -int(unix.ENOSYS)
	errNotExec     = -int(unix.ENOEXEC)
	errInvalid     = -int(unix.EINVAL)
	errInterrupted = -int(unix.EINTR)
)

const atWorkingDirectory = ^uintptr(99) // AT_FDCWD, -100

// childInfo is siginfo_t as waitid(2) fills it in on 64-bit machines.
type childInfo struct {
	_, _, code, _ int32
	pid           int32
	uid           uint32
	status        int32
	_             [100]byte
}

// exit ends this process.
//
//go:nosplit
func exit(status int32) {
	for {
		sys1(unix.SYS_EXIT_GROUP, uintptr(status))
	}
}

// closeFD closes one of this package's own descriptors, which are of kinds whose close(2) cannot
// hang: sockets, signalfds, pidfds and files of the kernel.
//
//go:nosplit
func closeFD(fd int32) {
	if fd >= 0 {
		sys1(unix.SYS_CLOSE, uintptr(fd))
	}
}

// high moves a descriptor to 3 or above, close-on-exec, so that it never takes the number of a
// standard one that is closed.
//
//go:nosplit
func high(fd int) int32 {
	if fd < 0 || fd > 2 {
		return int32(fd)
	}
	n := sys3(unix.SYS_FCNTL, uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	sys1(unix.SYS_CLOSE, uintptr(fd))
	return int32(n)
}

// kill is kill(2).
//
//go:nosplit
func kill(pid, sig int32) int { return sys2(unix.SYS_KILL, uintptr(pid), uintptr(sig)) }

// sendByPidfd is pidfd_send_signal(2) without siginfo.
//
//go:nosplit
func sendByPidfd(pidfd, sig int32) int {
	return sys4(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(pidfd), uintptr(sig), 0, 0)
}

// wait is waitid(2) without a pointer: the change goes into childChange and childUsage. It returns
// the child's PID, 0 where no child has changed, or a negative errno.
//
//go:nosplit
func wait(kind, id uintptr, options uintptr) int {
	childChange.pid = 0
	r := sys5(unix.SYS_WAITID, kind, id, addr(&childChange), options, addr(&childUsage))
	if r < 0 {
		return r
	}
	return int(childChange.pid)
}

var (
	childChange childInfo
	childUsage  unix.Rusage
)

// isChild reports whether pid is a child that was not reaped.
//
//go:nosplit
func isChild(pid int) bool {
	return wait(unix.P_PID, uintptr(pid), unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) >= 0
}

// isRefused reports whether the kernel or a seccomp filter refused a clone because of its flags,
// and not for lack of a resource.
//
//go:nosplit
func isRefused(r int) bool { return r < 0 && r != errAgain && r != -int(unix.ENOMEM) }

// fork makes a process with a copy of the memory. A process without an exit signal is not seen by a
// plain waitid(2). QEMU (user mode) and gVisor refuse to make one.
//
//go:nosplit
func fork(exitSignal uintptr) int { return sys5(unix.SYS_CLONE, exitSignal, 0, 0, 0, 0) }
