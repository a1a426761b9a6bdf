package pid1

import (
	"runtime"
	"sync"
)

// reservedThreads is how many threads that run Go code exist before the command can do any harm. A pids limit that the command has filled makes
// clone(2) fail, and a Go runtime that needs a thread then aborts; threads that exist are kept and used again. At the last minute four
// are busy at the same time: the reaper in its wait, a log writer in its write, and two that run Go code (the owner, the killer of
// the tree). Each costs about 40 µs of start-up.
const reservedThreads = 4

// reserveThreads makes the threads, by holding that many at the same time, while the command is being started. What it returns waits
// until they are there.
func reserveThreads() (wait func()) {
	var ready, done sync.WaitGroup
	ready.Add(reservedThreads)
	done.Add(reservedThreads)
	for range reservedThreads {
		go func() {
			defer done.Done()
			runtime.LockOSThread()
			ready.Done()
			ready.Wait()
			runtime.UnlockOSThread()
		}()
	}
	return done.Wait
}
