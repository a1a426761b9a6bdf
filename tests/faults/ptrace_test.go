//go:build amd64

package faults

import (
	"bytes"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stopInfo is the beginning of struct ptrace_syscall_info (ptrace(2), PTRACE_GET_SYSCALL_INFO).
type stopInfo struct {
	op     uint8
	_      [3]uint8
	arch   uint32
	ip, sp uint64
	number uint64    // at an entry
	args   [6]uint64 // at an entry
}

const (
	atEntry = 1 // PTRACE_SYSCALL_INFO_ENTRY
	atExit  = 2 // PTRACE_SYSCALL_INFO_EXIT

	traceOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
		unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACEEXEC
)

func ptrace(request, tid int, a, b uintptr) error {
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), a, b, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}

// syscallInfo says what a task that is stopped at a system call is about to do, or has done.
func syscallInfo(tid int) (info stopInfo, err error) {
	err = ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)))
	return info, err
}

// skipCall has a task that is about to make a system call make none.
func skipCall(tid int) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Orig_rax = ^uint64(0)
	return syscall.PtraceSetRegs(tid, &regs)
}

// setResult changes the result of the system call that a task has made.
func setResult(tid int, errno syscall.Errno) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	regs.Rax = -uint64(errno)
	return syscall.PtraceSetRegs(tid, &regs)
}

// cloneFlags are the flags of the clone that a task is stopped after.
func cloneFlags(tid int) uint64 {
	var regs syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &regs) != nil {
		return 0
	}
	switch regs.Orig_rax {
	case unix.SYS_CLONE:
		return regs.Rdi
	case unix.SYS_CLONE3: // struct clone_args begins with the flags
		var flags [8]byte
		if _, err := syscall.PtracePeekData(tid, uintptr(regs.Rdi), flags[:]); err != nil {
			return 0
		}
		return *(*uint64)(unsafe.Pointer(&flags)) | uint64(unix.SIGCHLD)
	}
	return uint64(unix.SIGCHLD)
}

// peekPath reads a text of a task's memory.
func peekPath(tid int, at uint64) string {
	var text []byte
	for len(text) < unix.PathMax {
		var word [8]byte
		n, err := syscall.PtracePeekData(tid, uintptr(at)+uintptr(len(text)), word[:])
		if end := bytes.IndexByte(word[:n], 0); end >= 0 {
			return string(append(text, word[:end]...))
		}
		if err != nil || n == 0 {
			break
		}
		text = append(text, word[:n]...)
	}
	return string(text)
}

// startSeized starts a program that this thread traces (PTRACE_SEIZE) from its first instruction.
// The program is first traced as by PTRACE_TRACEME, which cannot tell a stop by job control, and is
// let go with a SIGSTOP.
func startSeized(path string, args []string, attr *syscall.ProcAttr) (pid int, err error) {
	attr.Sys.Ptrace = true
	if pid, err = syscall.ForkExec(path, args, attr); err != nil {
		return 0, err
	}
	if _, err = syscall.Wait4(pid, nil, 0, nil); err != nil {
		return 0, err
	}
	if err = ptrace(unix.PTRACE_DETACH, pid, 0, uintptr(unix.SIGSTOP)); err != nil {
		return 0, err
	}
	if _, err = syscall.Wait4(pid, nil, unix.WUNTRACED, nil); err != nil {
		return 0, err
	}
	return pid, ptrace(unix.PTRACE_SEIZE, pid, 0, traceOptions)
}
