//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The Go runtime starts on one processor. Until main it hands its only work from one thread to
// another and back. To wake a thread on another processor takes longer than the work.

// affinity is the processors that this process may use (sched_setaffinity(2)).
var affinity struct {
	size int        // bytes of all that the kernel fills in; 0: this process was not pinned
	all  [16]uint64 // the processors of the start
	one  [16]uint64 // the processor that the runtime starts on
	this uint32     // its number
}

// pin restricts this process to the processor that it runs on. Where the kernel refuses that, or
// there may be more than 1024 processors, nothing changes.
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

// nearThreads is how many thread IDs after the process's own are tried.
const nearThreads = 64

// unpin takes the restriction from all threads. The runtime does not tell their IDs, which are a
// little above that of the process. Where other processes start many at that moment, the ID of a
// thread may be farther off. Then that thread stays on its processor, and so do threads that it
// makes.
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
