package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rights has as many descriptors in flight as the kernel takes: in sockets that are themselves in
// flight, and that nobody reads.
func (a *attacker) rights() {
	if !a.first("rights") {
		return
	}
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 256, Max: 256}) // and of so many in flight
	for range 4 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if !a.try(err) {
			return
		}
		load := unix.UnixRights(pair[0], pair[1], 0, 1, 2)
		for a.try(unix.Sendmsg(pair[0], []byte{0}, load, nil, 0)) {
		}
	}
}

// orphans leaves hundreds of processes that end at once.
func (a *attacker) orphans() {
	if !a.first("orphans") {
		return
	}
	for range 4 {
		const script = "i=0; while [ $i -lt 60 ]; do (: &); i=$((i+1)); done"
		pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", script}, &syscall.ProcAttr{})
		if a.try(errnoOrNil(err)) {
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
	}
}

func errnoOrNil(err error) error {
	if e, ok := err.(syscall.Errno); ok && e != 0 { //nolint:errorlint // what syscall returns
		return e
	}
	return nil
}

// hold traces the command, so that nobody can wait for it when it is dead. Until then it gets the
// signals that are sent to it.
func (a *attacker) hold() {
	if a.prey.command == os.Getpid() || !a.first("hold") {
		return
	}
	held := make(chan error)
	go func() {
		runtime.LockOSThread()
		pid := uintptr(a.prey.command)
		held <- call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, pid)
		for {
			var info [128]byte
			if call(
				unix.SYS_WAITID,
				unix.P_PID,
				pid,
				uintptr(unsafe.Pointer(&info)),
				unix.WSTOPPED|unix.WALL,
				0,
			) != nil {
				return
			}
			const code, status, trapped = 8, 24, 4 // offsets in siginfo_t; CLD_TRAPPED
			sig := uintptr(0)
			if *(*int32)(unsafe.Pointer(&info[code])) == trapped && *(*int32)(unsafe.Pointer(&info[status]))>>8 == 0 {
				sig = uintptr(*(*int32)(unsafe.Pointer(&info[status])))
			}
			_ = call(unix.SYS_PTRACE, unix.PTRACE_CONT, pid, 0, sig)
		}
	}()
	a.try(<-held)
}

// cgroup moves itself and others below the cgroup that it was given, and freezes whom finite is to
// end. Finite's own processes stay where they are: who may freeze them is a case of its own
// (TestTable).
func (a *attacker) cgroup() {
	if a.Cgroup == "" {
		return
	}
	ice := filepath.Join(a.Cgroup, "ice", strconv.Itoa(a.random.IntN(3)))
	a.try(errnoIn(os.MkdirAll(ice, 0o755)))
	for _, pid := range a.others() {
		a.write(filepath.Join(ice, "cgroup.procs"), strconv.Itoa(pid))
	}
	a.write(filepath.Join(a.Cgroup, "ice", "cgroup.freeze"), "1")
	leaves, _ := filepath.Glob(filepath.Join(a.Cgroup, "finite-*"))
	for _, leaf := range leaves {
		if a.Freeze || unix.Kill(a.prey.command, 0) != nil { // or it would never come to its end
			a.write(filepath.Join(leaf, "cgroup.freeze"), "1")
		}
		a.write(filepath.Join(leaf, "cgroup.max.descendants"), "0")
		a.try(unix.Rmdir(leaf))
		a.try(errnoIn(os.MkdirAll(filepath.Join(leaf, "a", "b", "c"), 0o755)))
	}
}

func (a *attacker) write(file, text string) { a.try(errnoIn(os.WriteFile(file, []byte(text), 0))) }

// others are the deaf ones that the command has left.
func (a *attacker) others() (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 {
			continue
		}
		if comm, _ := readFile(fmt.Sprintf("/proc/%d/comm", pid)); string(comm) == "sleep\n" {
			pids = append(pids, pid)
		}
	}
	return pids
}
