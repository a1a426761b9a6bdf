package testkit

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Denial is a seccomp filter that refuses some system calls with an errno, as old or strict
// container profiles do.
type Denial struct {
	What  []string // keys of deniable: names of system calls, and of flags and values of one
	Errno uint16
}

// deniable are the rules: a system call, and, where arg is not negative, bits of one argument of
// which any is refused, or the value that is.
var deniable = map[string]struct {
	nr     uint32
	arg    int
	bits   uint32
	equals bool
}{
	"pidfd_open":        {nr: unix.SYS_PIDFD_OPEN, arg: -1},
	"pidfd_send_signal": {nr: unix.SYS_PIDFD_SEND_SIGNAL, arg: -1},
	"clone3":            {nr: unix.SYS_CLONE3, arg: -1},
	"CLONE_PIDFD":       {nr: unix.SYS_CLONE, arg: 0, bits: unix.CLONE_PIDFD},
	"ppoll":             {nr: unix.SYS_PPOLL, arg: -1},
	"statx":             {nr: unix.SYS_STATX, arg: -1},
	"prlimit64":         {nr: unix.SYS_PRLIMIT64, arg: -1},
	"close_range":       {nr: unix.SYS_CLOSE_RANGE, arg: -1},
	"openat2":           {nr: unix.SYS_OPENAT2, arg: -1},
	"subreaper":         {nr: unix.SYS_PRCTL, arg: 0, bits: unix.PR_SET_CHILD_SUBREAPER, equals: true},
	"P_PIDFD":           {nr: unix.SYS_WAITID, arg: 0, bits: unix.P_PIDFD, equals: true},
}

// Install puts the filter on the calling thread and what it starts (seccomp(2)). It needs
// no_new_privs or CAP_SYS_ADMIN.
func (d *Denial) Install() error {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jset = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K

		offsetNr   = 0
		offsetArgs = 16
	)
	refuse := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(d.Errno)}
	var prog []unix.SockFilter
	for _, what := range d.What {
		rule, ok := deniable[what]
		if !ok {
			return fmt.Errorf("cannot deny %q", what)
		}
		prog = append(prog, unix.SockFilter{Code: load, K: offsetNr})
		if rule.arg < 0 {
			prog = append(prog, unix.SockFilter{Code: jeq, K: rule.nr, Jf: 1}, refuse)
			continue
		}
		test := uint16(jset)
		if rule.equals {
			test = jeq
		}
		prog = append(prog,
			unix.SockFilter{Code: jeq, K: rule.nr, Jf: 3},
			// The low half, on a little-endian machine.
			unix.SockFilter{Code: load, K: offsetArgs + 8*uint32(rule.arg)},
			unix.SockFilter{Code: test, K: rule.bits, Jf: 1},
			refuse,
		)
	}
	prog = append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		0, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
