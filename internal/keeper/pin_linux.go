//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Go runtime starts on one processor. Until main, it hands its only work from one thread to
// another and back, and to wake a thread on another processor takes longer than what that thread
// does. Threads that have slept since end on that processor as well, beside the keeper.

// affinity is the processors that the process may use (sched_setaffinity(2)).
var affinity struct {
	size int // bytes that the kernel fills in all; 0: the process was not pinned
	all  [16]uint64
	one  [16]uint64 // that on which the runtime starts
	this uint32
}

// pin restricts the process to the processor that it is on. Where that is refused, or there may
// be more than 1024 processors, the process stays as it is.
//
//go:nosplit
func pin() {
	size := sys3(unix.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(affinity.all), addr(&affinity.all))
	if size <= 0 || sys3(unix.SYS_GETCPU, addr(&affinity.this), 0, 0) < 0 {
		return
	}
	affinity.one[affinity.this/64&15] = 1 << (affinity.this & 63)
	if sys3(unix.SYS_SCHED_SETAFFINITY, 0, uintptr(size), addr(&affinity.one)) >= 0 {
		affinity.size = size
	}
}

// nearThreads is how many numbers behind the process's own are tried.
const nearThreads = 64

// unpin takes the restriction from all threads. The runtime does not tell of them. Their numbers
// are a little above that of the process. Where others start many processes at that moment, a
// thread may be farther off: it stays on its processor, as do threads that it makes.
func unpin() {
	if affinity.size == 0 {
		return
	}
	process := sys0(unix.SYS_GETPID)
	for thread := process; thread < process+nearThreads; thread++ {
		if thread == process || sys3(unix.SYS_TGKILL, uintptr(process), uintptr(thread), 0) == 0 {
			sys3(unix.SYS_SCHED_SETAFFINITY, uintptr(thread), uintptr(affinity.size), addr(&affinity.all))
		}
	}
}
