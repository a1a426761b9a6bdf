package pid1

import (
	"runtime"
	"sync"
)

// A pids limit that the command has filled makes clone(2) fail, and a Go runtime that needs a thread then aborts, which no recover prevents;
// threads that exist are kept and used again. So they are made before the command is. With neededThreads, the reaper can be in its wait and
// another thread in epoll_wait, where the scheduler does not count it as idle, while the owner, the log and the killer of the tree are each
// in a system call that takes its time. A log writer whose reader is slow waits in Go, not in one of them.
const neededThreads = 5

// runtimeThreads is what the runtime has besides: its monitor, and the thread that makes threads for goroutines that are locked to theirs.
const runtimeThreads = 2

// heldThreads is how many threads are held at the same time at first. When they are let go, all at once, the runtime makes another one to see to
// them: that makes enough almost always.
const heldThreads = 3

var reserved struct {
	begin, end sync.Once
	hold       *holding
}

// holding is a number of threads that are held at the same time.
type holding struct {
	ready   chan struct{}
	release chan struct{}
}

// hold begins to hold threads, away from the caller.
func hold(threads int) *holding {
	h := &holding{make(chan struct{}), make(chan struct{})}
	go h.one(threads)
	return h
}

// one keeps a thread to itself until all are kept. Each begins the next one.
func (h *holding) one(left int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if left > 1 {
		go h.one(left - 1)
	}
	h.ready <- struct{}{}
	<-h.release
}

// wait returns when all are held, and have been let go.
func (h *holding) wait(threads int) {
	for range threads {
		<-h.ready
	}
	close(h.release)
}

// Reserve begins to make the threads that the end of a command needs, and does not wait for them; [Run] does, before it starts the command. A
// program that calls it first thing has less to wait for then.
func Reserve() {
	reserved.begin.Do(func() { reserved.hold = hold(heldThreads) })
}

// reserveThreads returns when there are enough threads. If count, which counts those that are the runtime's, says that there are too few or
// fails, enough are held. That is not done beside the start of the command: a fork bomb fills a limit within milliseconds.
func reserveThreads(count func() (int, error)) {
	Reserve()
	reserved.end.Do(func() {
		reserved.hold.wait(heldThreads)
		if n, err := count(); err != nil || n < neededThreads+runtimeThreads {
			hold(neededThreads).wait(neededThreads)
		}
	})
}
