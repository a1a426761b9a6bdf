package pid1

import (
	"runtime"
	"sync"
)

// A pids limit that the command has filled makes clone(2) fail, and a Go runtime that needs a thread then aborts, which no recover prevents;
// threads that exist are kept and used again. So they are made before the command is: with neededThreads, the reaper can be in its wait
// while the owner and the killer of the tree run. Nothing else keeps a thread: a log writer whose reader is slow waits in Go.
const neededThreads = 3

// runtimeThreads is what the runtime has besides: its monitor.
const runtimeThreads = 1

// reserveThreads makes sure that there are enough threads. The runtime has made as many by now on most machines; if count, which counts those
// that are its, says otherwise or fails, so many are held at the same time. That is not done beside the start of the command: a fork bomb
// fills a limit within milliseconds.
func reserveThreads(count func() (int, error)) {
	if n, err := count(); err == nil && n >= neededThreads+runtimeThreads {
		return
	}
	var ready, done sync.WaitGroup
	ready.Add(neededThreads)
	done.Add(neededThreads)
	for range neededThreads {
		go func() {
			defer done.Done()
			runtime.LockOSThread()
			ready.Done()
			ready.Wait()
			runtime.UnlockOSThread()
		}()
	}
	done.Wait()
}
