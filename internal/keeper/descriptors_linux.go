//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The caller's descriptors are for the command. A copy that the front or the keeper has open keeps
// the reader of a pipe waiting after the command's end. So both close their copies. The close(2) of
// a regular file can hang, where its file system does not answer: a closer does it.

// kept are descriptors of the caller's that an option names. They stay open.
var (
	kept      [16]int32
	keptCount int32
	withheld  uint32 // bit i: the command does not get kept[i]
)

// keepDescriptor has a descriptor stay open. With alone set the command does not get it.
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

// withholdDescriptors has the execution of the command close the descriptors that the command does
// not get. It runs in the child, so that the keeper's copies stay as they are. A later supervisor
// does not take a close-on-exec descriptor for one of the caller's.
//
//go:nosplit
func withholdDescriptors() {
	for i := int32(0); i < keptCount; i++ {
		if withheld>>uint32(i)&1 != 0 {
			fd := *(*int32)(pointer(addr(&kept) + uintptr(i)*4))
			sys3(unix.SYS_FCNTL, uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC)
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

// dropAtEnd is dropStandard after the end of the command. It does not read /proc, since the command
// may have mounted a file system over it that does not answer.
//
//go:nosplit
func dropAtEnd() {
	chooseCloser()
	dropStandard()
	if facts.OlderCount > 0 {
		silence() // an older child may read standard error until its end
	}
	startCloser()
}

// silence has standard error go nowhere.
//
//go:nosplit
func silence() {
	nothing := openNothing()
	switch {
	case nothing < 0:
		sys1(unix.SYS_CLOSE, 2)
	case nothing != 2:
		sys3(unix.SYS_DUP3, uintptr(nothing), 2, 0)
		sys1(unix.SYS_CLOSE, uintptr(nothing))
	}
}

// openNothing opens a descriptor that can neither be read nor written, and that keeps no file
// system busy.
//
//go:nosplit
func openNothing() int {
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
	return sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/\x00"), flags, 0)
}

// dropDelay is how long after the command's start the front and the keeper close the caller's
// descriptors. Where the command ends before that, they end too, and that closes them.
const dropDelay = 5 * millisecond

// dropInherited closes the caller's descriptors, but standard error and those that an option names.
// As PID 1 it closes no standard one.
//
//go:nosplit
func dropInherited() {
	openChildren() // while there are free descriptors
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

// isOwn reports whether a descriptor stays open: this package has made it, or an option names it.
//
//go:nosplit
func isOwn(fd int32) bool {
	for i := int32(0); i < keptCount; i++ {
		if *(*int32)(pointer(addr(&kept) + uintptr(i)*4)) == fd {
			return true
		}
	}
	return fd == procFD || fd == run.pidfd || fd == run.earlyFD || fd == wakeFD || fd == childrenFD ||
		fd == facts.Directory || fd == supervisor.socket || fd == facts.ParentFD || fd == command.watch[0] ||
		fd == facts.Cgroup || fd == facts.Procs || fd == signalFD || fd == childFD ||
		fd == toFront || fd == toKeeper || fd == facts.Pidfd || fd == terminal.fd
}

// dropUnseen is dropInherited without /proc. Up to few it looks which descriptors are open. The
// rest is closed by number, later and in a closer: this package has no descriptor so far up.
//
//go:nosplit
func dropUnseen() {
	const few = 1024
	for fd := int32(3); fd < few; fd++ {
		if !isOwn(fd) && sys2(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFD) >= 0 {
			drop(fd)
		}
	}
	closeAway(few, 1<<31-1)
}

// drop closes a descriptor.
//
//go:nosplit
func drop(fd int32) {
	if isRegular(uintptr(fd)) {
		closeAway(fd, fd)
	} else {
		sys1(unix.SYS_CLOSE, uintptr(fd))
	}
}

// isRegular reports whether a descriptor is a regular file.
//
//go:nosplit
func isRegular(fd uintptr) bool { return fileType(fd) == unix.S_IFREG }

// isCharacterDevice reports whether a descriptor is a character device.
//
//go:nosplit
func isCharacterDevice(fd uintptr) bool { return fileType(fd) == unix.S_IFCHR }

// fileType is the type of a file. The file system is not asked (statx(2), Linux 4.11).
//
//go:nosplit
func fileType(fd uintptr) uint16 {
	fileStatus.Mode = 0
	const flags = unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
	sys5(unix.SYS_STATX, fd, text("\x00"), flags, unix.STATX_TYPE, addr(&fileStatus))
	return fileStatus.Mode & unix.S_IFMT
}

// fileStatus is what fileType reads.
var fileStatus unix.Statx_t
