//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A write to stderr can hang, and so can a read of /proc where another file system is mounted over
// it. A writer does both. It is a child that shares the memory and the descriptors. finite waits
// for it for a second at most.

// writers is how many lines can be written at a time. Further ones are dropped.
const writers = 4

// say has a writer write the line that was composed.
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
	if pid < 0 { // the kernel makes no process
		if canWrite() { // without the sender of the signal, which takes a read of /proc
			endLine(l)
			writeLine(l)
		}
		return
	}
	l.writer = int32(pid)
	helpers++
	helperPause = 0
}

// sayFirst is say before a SIGKILL that may hit the writer too: as PID 1, and where a supervisor
// kills all descendants of the keeper. It waits for the writer for writingTime.
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

// writingTime is how long a SIGKILL waits for a line.
const writingTime = 100 * millisecond

// write is what a writer does. The address of its stack tells which line is its own.
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

// awaitStderr waits until stderr takes something, and no longer than limit; 0: for any time. A low
// limit of open files has ppoll(2) fail, but not pselect6(2).
//
//go:nosplit
func awaitStderr(limit uintptr) bool {
	set := uint64(1 << 2) // an fd_set
	return int(rawSyscall(unix.SYS_PSELECT6, 3, 0, addr(&set), 0, limit, 0)) > 0
}

// writeLine writes a line to stderr. It takes as long as the reader needs.
//
//go:nosplit
func writeLine(l *line) {
	for at := uint32(0); at < l.length; {
		n := sys3(unix.SYS_WRITE, 2, addr(&l.text)+uintptr(at), uintptr(l.length-at))
		switch {
		case n > 0:
			at += uint32(n)
		case n == errAgain: // another process has made stderr non-blocking
			awaitStderr(0)
		case n != errInterrupted:
			return
		}
	}
}
