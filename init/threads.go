package pid1

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// reserveDescriptors has the runtime open what it needs for timers (epoll and eventfd) now, and makes sure before that there is room for
// them: without a descriptor the runtime aborts, and no recover helps. The same number is left for the sweeps over the tree.
func reserveDescriptors() error {
	const needed = 4
	var fds []int
	var err error
	for len(fds) < needed && err == nil {
		var fd int
		if fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err == nil {
			fds = append(fds, fd)
		}
	}
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("cannot reserve %d file descriptors: %w", needed, err)
	}
	time.NewTimer(time.Hour).Stop()
	return nil
}

// reservedThreads is how many threads that run Go code exist before the command does. A pids limit that the command has filled makes
// clone(2) fail, and a Go runtime that needs a thread then aborts; threads that exist are kept and used again. At the last minute four
// are busy at the same time: the reaper in its wait, a log writer in its write, and two that run Go code (the owner, the killer of
// the tree).
const reservedThreads = 4

// reserveThreads makes the threads, by holding that many at the same time. It is not done beside the start of the command: the runtime
// makes some threads later than it decides to, through a thread of its own, and a fork bomb fills a limit within milliseconds.
func reserveThreads() {
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
	done.Wait()
}
