package effects

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/finite-init/finite/internal/sys"
)

// A pids limit that the command has filled makes clone(2) fail, and a Go runtime that needs a
// thread then aborts, which no recover prevents; threads that exist are kept and used again. So all
// that can be needed at the same time are made before the command is: one for each goroutine that
// may run Go code at the same time, one for each that may wait in the kernel, which are the reaper
// in waitid(2) and the log in write(2), one that the runtime has in epoll_wait(2), and one that has
// come out of such a wait and is on its way to be idle; the latter is also there for a read of a
// process that is stuck in execve(2). No other system call while a command runs lets the runtime
// look for another thread: see package sys.
//
// Where a caller has more than two processors, that is more threads than may be had at all, and the
// guarantee is not given.
func neededThreads() int { return min(runtime.GOMAXPROCS(0), 2) + 4 }

var reserved struct {
	once   sync.Once
	parked *parking
}

// parking is a number of threads that are parked in the kernel at the same time.
type parking struct {
	want  int32         // how many
	there atomic.Int32  // how many there are
	open  atomic.Uint32 // 1 when all were there
	left  atomic.Int32  // how many are not any more
}

// park begins to park threads in the kernel, away from the caller; wait adds the caller's own.
func park(threads int) *parking {
	h := &parking{want: int32(threads) + 1}
	for range threads {
		go h.wait()
	}
	return h
}

// wait parks the caller's thread until all are parked.
func (h *parking) wait() {
	if h.there.Add(1) == h.want { // more come if ReserveThreads is called again, and find it open
		h.open.Store(1)
		sys.FutexWake(&h.open)
	}
	// The runtime is about to look for another thread. One that has handed the main goroutine back
	// to the main thread, and was displaced by it, is not known as idle until it has run again; if
	// it does not, one more is made than is needed, which a limit may not allow.
	sys.Yield()
	for h.open.Load() == 0 {
		sys.FutexWait(&h.open)
	}
	h.left.Add(1)
}

// Reserve begins to make the threads that the end of a command needs, GOMAXPROCS (at most two) and
// four more, and does not wait for them; [Run] does, before it starts the command. A program that
// calls it first thing has less to wait for then. GOMAXPROCS must not be raised after it.
func Reserve() {
	reserved.once.Do(func() { reserved.parked = park(neededThreads() - 1) })
}

// Reserved returns when the threads that [Reserve] has begun to make can be used, for a caller that
// does not [Run] anything.
func Reserved() {
	ReserveThreads(0)
	SettleThreads()
}

// ReserveThreads returns when there are enough threads, and so many more, for files that may hang.
// That is not left to be done beside the start of the command: a fork bomb fills a limit within
// milliseconds.
func ReserveThreads(more int) {
	Reserve()
	runtime.Gosched() // to be the last, and have none to wait for
	reserved.parked.wait()
	if more == 0 {
		return
	}
	SettleThreads() // so that those there are count
	reserved.parked = park(neededThreads() - 1 + more)
	runtime.Gosched()
	reserved.parked.wait()
}

// SettleThreads returns when the threads that were parked are the runtime's to use again: until
// they have come out of the kernel it does not know them as idle. It is called when the command has
// been started, which took longer, but before the first wait.
func SettleThreads() {
	for reserved.parked.left.Load() < reserved.parked.want {
		sys.Yield()
		runtime.Gosched()
	}
}
