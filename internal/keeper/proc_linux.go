//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The keeper reads only such files of /proc as do not wait for a lock of another process. It reads
// no file that the command has mounted over /proc, or below it.

// procFD is /proc as it was before the command was started; -1: there is none.
var (
	procFD   int32
	procStat unix.Statfs_t
	openHow  [3]uint64 // struct open_how: flags, mode, resolve

	entries [1024]byte // what the last read of /proc returned, and the path for the next one
)

// openProc opens procFD. A file system of another type is not used: it may not answer later.
//
//go:nosplit
func openProc() {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	procFD = high(sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/proc\x00"), flags, 0))
	if procFD < 0 {
		return
	}
	r := sys2(unix.SYS_FSTATFS, uintptr(procFD), addr(&procStat))
	if r < 0 || procStat.Type != unix.PROC_SUPER_MAGIC {
		closeFD(procFD)
		procFD = -1
	}
}

// openInProc opens a file in /proc, but nothing that was mounted over it (openat2(2), Linux 5.6).
// It returns a negative errno where there is no such file, or the kernel lacks openat2.
//
//go:nosplit
func openInProc(name string, flags uintptr) int { return openAtProc(text(name), flags) }

// openAtProc is openInProc for a path at an address.
//
//go:nosplit
func openAtProc(path, flags uintptr) int {
	if procFD < 0 {
		return errNoEntry
	}
	openHow = [3]uint64{unix.O_RDONLY | unix.O_CLOEXEC | uint64(flags), 0, unix.RESOLVE_NO_XDEV}
	return sys4(unix.SYS_OPENAT2, uintptr(procFD), path, addr(&openHow), unsafe.Sizeof(openHow))
}

// isOwnProc reports whether /proc is that of this PID namespace: it shows this process by its own
// PID.
//
//go:nosplit
func isOwnProc() bool {
	if procFD < 0 {
		return false
	}
	const size = unsafe.Sizeof(entries) - 1
	n := sys4(unix.SYS_READLINKAT, uintptr(procFD), text("self\x00"), addr(&entries), size)
	if n <= 0 {
		return false
	}
	*(*byte)(pointer(addr(&entries) + uintptr(n))) = 0
	return numberAt(addr(&entries)) == int32(sys0(unix.SYS_GETPID))
}

// readProc reads a file of a process into entries. It returns how many bytes were read, or a
// negative errno. Its callers have checked isOwnProc.
//
//go:nosplit
func readProc(pid int32, file string) int {
	path := addr(&entries)
	end := putDigits(path, int64(pid))
	for i := 0; i < len(file); i++ {
		*(*byte)(pointer(end + uintptr(i))) = file[i]
	}
	fd := openAtProc(path, 0)
	if fd < 0 {
		return fd
	}
	n := sys3(unix.SYS_READ, uintptr(fd), addr(&entries), unsafe.Sizeof(entries)-1)
	sys1(unix.SYS_CLOSE, uintptr(fd))
	return n
}

// nameProcess puts the name of a process into a signal.
//
//go:nosplit
func nameProcess(s *Signal, pid int32) {
	n := readProc(pid, "/comm\x00")
	for i := 0; i < 15 && i < n; i++ {
		c := byteAt(addr(&entries) + uintptr(i))
		if c == '\n' {
			return
		}
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		*(*byte)(pointer(addr(&s.Name) + uintptr(i))) = c
	}
}

// startOf returns when a process was started, in clock ticks after the boot; 0: it is not known.
//
//go:nosplit
func startOf(pid int32) int64 { return startIn(readProc(pid, "/stat\x00")) }

// startIn returns the starttime of a stat (proc_pid_stat(5)), of which entries has n bytes; 0:
// there is none.
//
//go:nosplit
func startIn(n int) int64 {
	at := addr(&entries)
	for i := 0; i < n; i++ { // the last one ends the name, which may have any character
		if byteAt(addr(&entries)+uintptr(i)) == ')' {
			at = addr(&entries) + uintptr(i)
		}
	}
	const field, afterName = 22, 2
	end := addr(&entries) + uintptr(max(n, 0))
	for i := afterName; i < field && at < end; at++ {
		if byteAt(at) == ' ' {
			i++
		}
	}
	start := int64(0)
	for ; at < end && byteAt(at) >= '0' && byteAt(at) <= '9'; at++ {
		start = start*10 + int64(byteAt(at)-'0')
	}
	return start
}

// showsRunning reports whether /proc shows that a process is not stopped.
//
//go:nosplit
func showsRunning(pid int32) bool { return isOwnProc() && runsIn(readProc(pid, "/status\x00")) }

// runsIn reports whether a status (proc_pid_status(5)), of which entries has n bytes, is of a
// process that is not stopped.
//
//go:nosplit
func runsIn(n int) bool {
	field := text("\nState:\t\x00")
	at := field
	for i := 0; i < n; i++ {
		c := byteAt(addr(&entries) + uintptr(i))
		switch byteAt(at) {
		case 0:
			return c != 'T' && c != 't'
		case c:
			at++
		default:
			if at = field; c == '\n' { // which begins the field, where it does not go on with it
				at++
			}
		}
	}
	return false
}
