package signals

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Deafen makes this process deaf to the signals that the Go runtime does not leave blocked and that
// would end it. It is for a process that began with all signals blocked, and whose signals are
// nobody's. What the process does wrong itself still ends it.
func Deafen() {
	ignore := [4]uint64{1} // struct sigaction with SIG_IGN (rt_sigaction(2))
	const set = Set(1<<(unix.SIGSTKFLT-1) | 1<<(unix.SIGABRT-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGSYS-1) | 1<<(unix.SIGPROF-1))
	for sig := unix.Signal(1); sig <= unix.SIGSYS; sig++ {
		if set.Has(sig) {
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
		}
	}
}
