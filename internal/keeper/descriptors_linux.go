//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the caller had open is the command's. Who else holds it keeps its reader waiting. A file of
// a file system that does not answer can keep whoever closes it: regular files are closed by a
// child that shares the descriptors.

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

var fileStatus unix.Statx_t
