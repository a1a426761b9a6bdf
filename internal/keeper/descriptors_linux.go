//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the caller had open is the command's. Who else holds it keeps its reader waiting. A file of
// a file system that does not answer can keep whoever closes it: regular files are closed by a
// child that shares the descriptors.

// closer is the child that closes what can hang, and what it closes. Its memory is its own for
// good: it may never end.
type closer struct {
	ranges [maxRanges][2]int32
	count  int32
	pid    int32 // 0: it has ended, or was not started
	stack  [2048]byte
}

const maxRanges = 256

var (
	closers    [2]closer
	usedCloser int32      // for what is found now; -1: both are busy, and may be for good
	entries    [1024]byte // of /proc/self/fd
	fileStatus unix.Statx_t
)

// kept are descriptors of the caller's that an option names.
var (
	kept      [16]int32
	keptCount int32
	withheld  uint32 // bit i: the command does not get kept[i]
)

// keepDescriptor keeps one, which the command gets as well, or not.
//
//go:nosplit
func keepDescriptor(fd int32, alone bool) {
	if keptCount < int32(len(kept)) {
		if alone {
			withheld |= 1 << uint32(keptCount)
		}
		*(*int32)(pointer(addr(&kept) + uintptr(keptCount)*4)) = fd
		keptCount++
	}
}

// withholdDescriptors has the execution of the command close what it does not get. In this process
// another supervisor may need it, which takes no descriptor that is closed by an execution for one
// of the caller's.
//
//go:nosplit
func withholdDescriptors() {
	for i := int32(0); i < keptCount; i++ {
		if withheld>>uint32(i)&1 != 0 {
			sys3(unix.SYS_FCNTL, uintptr(*(*int32)(pointer(addr(&kept) + uintptr(i)*4))), unix.F_SETFD, unix.FD_CLOEXEC)
		}
	}
}

// dropStandard closes stdin and stdout, where no option names them.
//
//go:nosplit
func dropStandard() {
	for fd := int32(0); fd < 2; fd++ {
		if !isOwn(fd) && !isBeingClosed(fd) {
			drop(fd)
		}
	}
}

// dropAtEnd is dropStandard at the end of a command. It asks /proc nothing, since the command may
// have mounted something over that which does not answer.
//
//go:nosplit
func dropAtEnd() {
	chooseCloser()
	dropStandard()
	if facts.OlderCount > 0 {
		silence() // one of them may read what is written there, until its end
	}
	startCloser()
}

// silence has standard error go nowhere.
//
//go:nosplit
func silence() {
	if nothing := openNothing(); nothing >= 0 && nothing != 2 {
		sys3(unix.SYS_DUP3, uintptr(nothing), 2, 0)
		sys1(unix.SYS_CLOSE, uintptr(nothing))
	}
}

// openNothing opens something that can neither be read nor written, and that no file system keeps.
//
//go:nosplit
func openNothing() int {
	return sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/\x00"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// dropDelay is how long after the command's start the rest is left to it. A command that has ended
// by then has nobody waiting for it.
const dropDelay = 5 * millisecond

// dropInherited closes what the caller had open, but standard error, what an option names, and the
// descriptors that this package has made. As PID 1 the standard ones stay.
//
//go:nosplit
func dropInherited() {
	openChildren() // while there are descriptors: the last resort reads it
	chooseCloser()
	if facts.Front != 0 {
		dropStandard()
	}
	dir := int32(openInProc("self/fd\x00", unix.O_DIRECTORY))
	if dir < 0 {
		dropUnseen()
		startCloser()
		return
	}
	for {
		n := sys3(unix.SYS_GETDENTS64, uintptr(dir), addr(&entries), unsafe.Sizeof(entries))
		if n <= 0 {
			break
		}
		for at := uintptr(0); at < uintptr(n); {
			entry := addr(&entries) + at
			at += uintptr(*(*uint16)(pointer(entry + 16)))
			if fd := numberAt(entry + 19); fd > 2 && fd != dir && !isOwn(fd) && !isBeingClosed(fd) {
				drop(fd)
			}
		}
	}
	closeFD(dir)
	startCloser()
}

// chooseCloser takes a closer that is not at work.
//
//go:nosplit
func chooseCloser() {
	reapHelpers()
	usedCloser = -1
	for i := int32(0); i < 2; i++ {
		if c := closerAt(i); c.pid == 0 {
			if usedCloser = i; c.count != 0 { // a page that is not written to costs nothing
				c.count = 0
			}
			return
		}
	}
}

// isBeingClosed reports whether a closer is at work on a descriptor: by the time a second one would
// close it, the number may be that of an own one.
//
//go:nosplit
func isBeingClosed(fd int32) bool {
	for i := int32(0); i < 2; i++ {
		c := closerAt(i)
		for n := int32(0); c.pid != 0 && n < c.count; n++ {
			if r := c.rangeAt(n); r[0] <= fd && fd <= r[1] {
				return true
			}
		}
	}
	return false
}

//go:nosplit
func (c *closer) rangeAt(i int32) *[2]int32 {
	return (*[2]int32)(unsafe.Add(unsafe.Pointer(&c.ranges), uintptr(i)*8))
}

// numberAt reads a number in decimal digits, -1 for anything else.
//
//go:nosplit
func numberAt(a uintptr) int32 {
	n := int32(0)
	if byteAt(a) == 0 {
		return -1
	}
	for ; byteAt(a) != 0; a++ {
		if byteAt(a) < '0' || byteAt(a) > '9' || n > 1<<24 {
			return -1
		}
		n = n*10 + int32(byteAt(a)-'0')
	}
	return n
}

// isOwn reports whether a descriptor is one that this package has made.
//
//go:nosplit
func isOwn(fd int32) bool {
	for i := int32(0); i < keptCount; i++ {
		if *(*int32)(pointer(addr(&kept) + uintptr(i)*4)) == fd {
			return true
		}
	}
	return fd == procFD || fd == run.pidfd || fd == run.earlyFD || fd == wakeFD || fd == childrenFD || fd == facts.Directory || fd == supervisor.socket || fd == facts.ParentFD || fd == command.watch[0] || fd == facts.Cgroup || fd == facts.Procs || fd == signalFD || fd == childFD || fd == toFront || fd == toKeeper || fd == facts.Pidfd || fd == terminal.fd
}

// dropUnseen is dropInherited without /proc. The child closes by number, and later than this: only
// what is open now, and what is so far up that nothing is opened there any more.
//
//go:nosplit
func dropUnseen() {
	const few = 1024 // among these are the own ones
	for fd := int32(3); fd < few; fd++ {
		if !isOwn(fd) && sys2(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFD) >= 0 {
			drop(fd)
		}
	}
	closeAway(few, 1<<31-1)
}

// drop closes one descriptor.
//
//go:nosplit
func drop(fd int32) {
	if isRegular(uintptr(fd)) {
		closeAway(fd, fd)
	} else {
		sys1(unix.SYS_CLOSE, uintptr(fd))
	}
}

// closeAway adds a range to what startCloser has closed.
//
//go:nosplit
func closeAway(first, last int32) {
	if usedCloser < 0 {
		return // it stays open
	}
	c := closerAt(usedCloser)
	if c.count == maxRanges { // 256 regular files
		sys3(unix.SYS_CLOSE_RANGE, uintptr(first), uintptr(last), 0)
		return
	}
	*c.rangeAt(c.count) = [2]int32{first, last}
	c.count++
}

//go:nosplit
func closerAt(i int32) *closer {
	return (*closer)(unsafe.Add(unsafe.Pointer(&closers), uintptr(i&1)*unsafe.Sizeof(closer{})))
}

// startCloser starts the child that closes, if there is something for it. Nobody waits for it.
//
//go:nosplit
func startCloser() {
	if usedCloser < 0 || closerAt(usedCloser).count == 0 {
		return
	}
	c := closerAt(usedCloser)
	stack := topOf(addr(&c.stack), unsafe.Sizeof(c.stack))
	pid := int(spawn(unix.CLONE_VM|unix.CLONE_FILES, stack, nil, closeThem))
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_VM|unix.CLONE_FILES|uintptr(unix.SIGCHLD), stack, nil, closeThem))
	}
	if pid < 0 {
		closeRanges(c)
		return
	}
	c.pid = int32(pid)
	helpers++
	helperPause = 0
}

// closeThem is what the child does. Which closer it is, its stack tells.
//
//go:nosplit
func closeThem() {
	var here byte
	closeRanges(closerAt(int32((addr(&here) - addr(&closers)) / unsafe.Sizeof(closer{}))))
	for {
		sys1(unix.SYS_EXIT, 0)
	}
}

//go:nosplit
func closeRanges(c *closer) {
	for i := int32(0); i < c.count; i++ {
		r := c.rangeAt(i)
		if sys3(unix.SYS_CLOSE_RANGE, uintptr(r[0]), uintptr(r[1]), 0) < 0 { // before Linux 5.9
			for fd := r[0]; fd <= r[1] && fd < 1<<16; fd++ {
				sys1(unix.SYS_CLOSE, uintptr(fd))
			}
		}
	}
}

// isRegular and isCharacterDevice ask for the type of a file without asking its file system
// (statx(2), Linux 4.11).
//
//go:nosplit
func isRegular(fd uintptr) bool { return fileType(fd) == unix.S_IFREG }

//go:nosplit
func isCharacterDevice(fd uintptr) bool { return fileType(fd) == unix.S_IFCHR }

//go:nosplit
func fileType(fd uintptr) uint16 {
	fileStatus.Mode = 0
	sys5(unix.SYS_STATX, fd, text("\x00"), unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, addr(&fileStatus))
	return fileStatus.Mode & unix.S_IFMT
}
