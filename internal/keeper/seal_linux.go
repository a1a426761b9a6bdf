//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// sealProgram has a copy of this program executed that nobody can write to, unless that is what runs.
// A container that is joined sees the keeper as a process of its own, and whoever is root there
// could otherwise overwrite, through /proc/PID/exe, the very file that is executed outside
// (CVE-2019-5736).
//
//go:nosplit
func sealProgram() {
	own := sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/proc/self/exe\x00"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if file := auxiliary(auxExecutedFile); own < 0 && file != 0 {
		own = sys4(unix.SYS_OPENAT, atWorkingDirectory, file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if own < 0 {
		startLine()
		put("cannot find this program's own file: ")
		failFor(own)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if r := sys2(unix.SYS_FCNTL, uintptr(own), unix.F_GET_SEALS); r >= 0 && r&seals == seals {
		sys1(unix.SYS_CLOSE, uintptr(own))
		sys2(unix.SYS_PRCTL, unix.PR_SET_NAME, text("finite\x00")) // it was executed by a descriptor
		return
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd := sys2(unix.SYS_MEMFD_CREATE, text("finite\x00"), flags|unix.MFD_EXEC) // Linux 6.3
	if fd == errInvalid {
		fd = sys2(unix.SYS_MEMFD_CREATE, text("finite\x00"), flags)
	}
	if fd < 0 {
		failToCopy(fd)
	}
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, addr(&tooLarge), addr(&scratchMask), 8) // of ulimit -f
	for {
		n := sys4(unix.SYS_SENDFILE, uintptr(fd), uintptr(own), 0, 1<<30)
		if n == 0 {
			break
		}
		if n < 0 && n != errInterrupted {
			failToCopy(n)
		}
	}
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, addr(&scratchMask), 0, 8)
	if r := sys3(unix.SYS_FCNTL, uintptr(fd), unix.F_ADD_SEALS, seals); r < 0 {
		failToCopy(r)
	}
	sys1(unix.SYS_CLOSE, uintptr(own))
	failToCopy(sys5(unix.SYS_EXECVEAT, uintptr(fd), text("\x00"), plain.start, plain.envp, unix.AT_EMPTY_PATH))
}

var (
	tooLarge    = uint64(1) << (unix.SIGXFSZ - 1)
	scratchMask uint64
)

//go:nosplit
func failToCopy(errno int) {
	startLine()
	put("cannot make a copy of this program in memory: ")
	failFor(errno)
}
