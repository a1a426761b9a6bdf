package main

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call of which only the error is of interest.
func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	return errnoOf(e)
}

// trace tries to become the tracer.
func (a *attacker) trace() {
	for _, p := range a.targets() {
		if a.Protected {
			if a.try(call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(p.pid))) {
				a.breach("seized the %s", p.name)
			}
			if a.try(call(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(p.pid))) {
				a.breach("attached to the %s", p.name)
			}
		}
		for _, request := range []uintptr{
			unix.PTRACE_CONT, unix.PTRACE_KILL, unix.PTRACE_DETACH, unix.PTRACE_INTERRUPT,
		} {
			a.try(call(unix.SYS_PTRACE, request, uintptr(p.pid)))
		}
	}
}

// memory tries to read and write memory. The addresses are those of a static binary, and none: what
// counts is which error comes back.
func (a *attacker) memory() {
	page := make([]byte, 4096)
	for _, p := range a.targets() {
		for _, address := range []uintptr{
			1, 0x400000, 0x401000, 0x600000, 0x7ff000000000, uintptr(a.random.Uint64() >> 17),
		} {
			local := unix.Iovec{Base: &page[0], Len: uint64(len(page))}
			remote := unix.RemoteIovec{Base: address, Len: len(page)}
			for _, number := range []uintptr{unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV} {
				if number == unix.SYS_PROCESS_VM_WRITEV && !a.Protected {
					continue // it is as safe as any other init then
				}
				err := call(
					number,
					uintptr(p.pid),
					uintptr(unsafe.Pointer(&local)),
					1,
					uintptr(unsafe.Pointer(&remote)),
					1,
					0,
				)
				if a.try(err); err != unix.EPERM && err != unix.ESRCH && err != unix.ENOSYS {
					a.breach("memory of the %s: %v", p.name, err)
				}
			}
		}
		const files = "mem maps smaps pagemap environ auxv syscall stack map_files cwd exe root personality io"
		for file := range strings.FieldsSeq(files) {
			path := fmt.Sprintf("/proc/%d/%s", p.pid, file)
			_, err := readFile(path)
			if file == "cwd" || file == "exe" || file == "root" {
				_, err = os.Readlink(path)
			}
			if a.try(errnoIn(err)) && !(a.Perfmon && isRead(file)) {
				a.breach("read %s of the %s", file, p.name)
			}
		}
	}
}

// isRead reports whether a file asks for no more than CAP_PERFMON (Linux 6.16).
func isRead(file string) bool {
	switch file {
	case "maps", "smaps", "pagemap", "environ", "auxv":
		return true
	}
	return false
}

func errnoIn(err error) error {
	if pe, ok := err.(*os.PathError); ok { //nolint:errorlint // what os returns
		return pe.Err
	}
	return err
}

// descriptors tries to open, read and write what is open in a target, and to take it.
func (a *attacker) descriptors() {
	for _, p := range a.targets() {
		pidfd, _ := unix.PidfdOpen(p.pid, 0)
		for fd := range 48 {
			for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDWR} {
				path := fmt.Sprintf("/proc/%d/fd/%d", p.pid, fd)
				own, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
				if a.try(err) {
					a.breach("opened descriptor %d of the %s", fd, p.name)
					if fd > 2 { // what is at 0 to 2 is the test's
						a.use(own)
					}
					unix.Close(own)
				}
			}
			if pidfd > 0 {
				own, err := unix.PidfdGetfd(pidfd, fd, 0)
				if a.try(err) {
					a.breach("took descriptor %d of the %s", fd, p.name)
					if fd > 2 && a.Protected { // as PID 1 with nothing to enforce, it is as safe as any other init
						a.use(own)
					}
					unix.Close(own)
				}
			}
		}
		if pidfd > 0 {
			unix.Close(pidfd)
		}
	}
}

// use reads and writes some bytes.
func (a *attacker) use(fd int) {
	_ = unix.SetNonblock(fd, true)
	b := make([]byte, 160)
	_, err := unix.Read(fd, b)
	a.try(err)
	_, err = unix.Write(fd, b)
	a.try(err)
}

// peek asks the kernel about a target by what asks for the right to trace it.
func (a *attacker) peek() {
	var word, length uintptr
	pages := []uintptr{0x400000}
	status := []int32{0}
	for _, p := range a.targets() {
		pid := uintptr(p.pid)
		attr := unix.PerfEventAttr{
			Type: unix.PERF_TYPE_SOFTWARE,
			Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
		}
		attr.Size = uint32(unsafe.Sizeof(attr))
		for name, err := range map[string]error{
			"kcmp": call(unix.SYS_KCMP, pid, pid, 2, 0, 0),
			"get_robust_list": call(
				unix.SYS_GET_ROBUST_LIST, pid, uintptr(unsafe.Pointer(&word)), uintptr(unsafe.Pointer(&length)),
			),
			"move_pages": call(
				unix.SYS_MOVE_PAGES, pid, 1, uintptr(unsafe.Pointer(&pages[0])),
				0, uintptr(unsafe.Pointer(&status[0])), 0,
			),
			"perf_event_open": call(
				unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&attr)), pid, ^uintptr(0), ^uintptr(0), 0,
			),
		} {
			if a.try(err) && !(a.Perfmon && name == "perf_event_open") {
				a.breach("%s of the %s", name, p.name)
			}
		}
	}
}

// procFiles writes to files of a target that have an effect on it.
func (a *attacker) procFiles() {
	for _, p := range a.targets() {
		for file, text := range map[string]string{
			"oom_score_adj": "1000", "oom_adj": "15", "comm": "x", "clear_refs": "1", "coredump_filter": "ff",
			"timerslack_ns": "4000000000", "autogroup": "19", "sched": "0", "setgroups": "deny", "uid_map": "0 0 1",
			"attr/current": "x", "make-it-fail": "1", "loginuid": "0", "mem": "x",
		} {
			f, err := os.OpenFile(fmt.Sprintf("/proc/%d/%s", p.pid, file), os.O_WRONLY|unix.O_NONBLOCK, 0)
			if err == nil {
				if file == "mem" {
					a.breach("opened mem of the %s", p.name)
				}
				_, err = f.WriteString(text)
				f.Close()
			}
			a.try(errnoIn(err))
		}
	}
}
