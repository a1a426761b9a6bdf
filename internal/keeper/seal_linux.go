//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// sealProgram executes a copy of this program that cannot be written to, unless this process runs
// such a copy already. A container that the keeper joins sees it as a process of its own. Through
// /proc/PID/exe root there could otherwise overwrite the file that is executed outside
// (CVE-2019-5736).
//
//go:nosplit
func sealProgram() {
	const read = unix.O_RDONLY | unix.O_CLOEXEC
	own := sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/proc/self/exe\x00"), read, 0)
	if file := auxiliary(auxExecutedFile); own < 0 && file != 0 {
		own = sys4(unix.SYS_OPENAT, atWorkingDirectory, file, read, 0)
	}
	if own < 0 {
		startLine()
		put("cannot find this program's own file: ")
		failFor(own)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if r := sys2(unix.SYS_FCNTL, uintptr(own), unix.F_GET_SEALS); r >= 0 && r&seals == seals {
		sys1(unix.SYS_CLOSE, uintptr(own))
		sys2(unix.SYS_PRCTL, unix.PR_SET_NAME, text("finite\x00")) // execveat(2) gives another name
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
	// A copy that exceeds the limit of ulimit -f is an error then, and not a SIGXFSZ.
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, addr(&tooLarge), addr(&scratchMask), 8)
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
	r := sys5(unix.SYS_EXECVEAT, uintptr(fd), text("\x00"), plain.start, plain.envp, unix.AT_EMPTY_PATH)
	failToCopy(r)
}

var (
	tooLarge    = uint64(1) << (unix.SIGXFSZ - 1) // a set of signals
	scratchMask uint64                            // the signal mask before the copy
)

// failToCopy ends finite where the copy cannot be made.
//
//go:nosplit
func failToCopy(errno int) {
	startLine()
	put("cannot make a copy of this program in memory: ")
	failFor(errno)
}
