//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A write to stderr can hang, and so can a read of /proc where somebody has mounted over it. Both
// are done by a writer: a child that shares the memory and the descriptors, and that nobody waits
// for longer than a second.

// writers is how many lines can be under way. Further ones are dropped.
const writers = 4

// say has the line that was composed written.
//
//go:nosplit
func say() {
	if current < 0 {
		return
	}
	l := lineAt(current)
	stack := topOf(addr(&l.stack), writerStackSize)
	pid := int(spawn(unix.CLONE_VM|unix.CLONE_FILES, stack, nil, write))
	if isRefused(pid) {
		ordinaryHelpers = true
		pid = int(spawn(unix.CLONE_VM|unix.CLONE_FILES|uintptr(unix.SIGCHLD), stack, nil, write))
	}
	if isRefused(pid) { // QEMU's user mode shares no memory between processes
		pid = int(spawn(uintptr(unix.SIGCHLD), stack, nil, write))
	}
	if pid < 0 { // there is no room for a process
		if canWrite() { // who sent a signal is left out
			endLine(l)
			writeLine(l)
		}
		return
	}
	l.writer = int32(pid)
	helpers++
	helperPause = 0
}

// sayFirst is say before a SIGKILL to everybody. That may mean the writer too, as PID 1 and where a
// supervisor kills the keeper's descendants: it gets a moment.
//
//go:nosplit
func sayFirst() {
	say()
	for until := now() + writingTime; isSaying() && now() < until; {
		pause(millisecond / 10)
	}
}

// isSaying reports whether a line is being written.
//
//go:nosplit
func isSaying() bool {
	reapHelpers()
	for i := int32(0); i < writers; i++ {
		if lineAt(i).writer != 0 {
			return true
		}
	}
	return false
}

const writingTime = 100 * millisecond

// write is what a writer does. Which line is its own, its stack tells.
//
//go:nosplit
func write() {
	var here byte
	l := lineAt(int32((addr(&here) - addr(&lines)) / unsafe.Sizeof(line{})))
	finishLine(l)
	writeLine(l)
	for {
		sys1(unix.SYS_EXIT, 0)
	}
}

// canWrite reports whether stderr takes a line now.
//
//go:nosplit
func canWrite() bool {
	noTime = [2]int64{}
	return awaitStderr(addr(&noTime))
}

// awaitStderr waits until stderr takes something, for a time at most; 0: for any time. ppoll(2)
// asks for more than a limit of open files may allow, pselect6(2) does not.
//
//go:nosplit
func awaitStderr(limit uintptr) bool {
	set := uint64(1 << 2) // an fd_set
	return int(rawSyscall(unix.SYS_PSELECT6, 3, 0, addr(&set), 0, limit, 0)) > 0
}

// writeLine writes a line to stderr. Who reads it slowly, or not at all, keeps the writer.
//
//go:nosplit
func writeLine(l *line) {
	for at := uint32(0); at < l.length; {
		n := sys3(unix.SYS_WRITE, 2, addr(&l.text)+uintptr(at), uintptr(l.length-at))
		switch {
		case n > 0:
			at += uint32(n)
		case n == errAgain: // somebody has made it non-blocking, for everybody
			awaitStderr(0)
		case n != errInterrupted:
			return
		}
	}
}
