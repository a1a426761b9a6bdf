package sys

import (
	"errors"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The runtime's own words before and after a system call that blocks, which it keeps open to others
// (runtime, "Notable members of the hall of shame"). Nothing between them may need more stack.
//
//go:linkname entersyscallblock runtime.entersyscallblock
func entersyscallblock()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// Wait makes a system call that blocks, once. Pointers become uintptrs in the call itself, as for
// [unix.Syscall].
//
//go:nosplit
//go:norace
//go:uintptrescapes
func Wait(number, a1, a2, a3, a4, a5, a6 uintptr) (uintptr, unix.Errno) {
	entersyscallblock()
	r, _, errno := unix.RawSyscall6(number, a1, a2, a3, a4, a5, a6)
	exitsyscall()
	return r, errno
}

// call makes a system call that does not block, again if a signal has interrupted it.
//
//go:uintptrescapes
func call(number, a1, a2, a3, a4, a5 uintptr) (int, error) {
	for {
		switch r, _, errno := unix.RawSyscall6(number, a1, a2, a3, a4, a5, 0); errno {
		case 0:
			return int(r), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// Retry makes a call again for as long as a signal interrupts it.
func Retry(call func() (int, error)) (int, error) {
	for {
		if n, err := call(); err != unix.EINTR {
			return n, err
		}
	}
}

// here is AT_FDCWD.
var here = unix.AT_FDCWD

// Open is open(2) with O_CLOEXEC.
func Open(path string, flags int) (int, error) {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	flags |= unix.O_CLOEXEC | unix.O_LARGEFILE
	return call(unix.SYS_OPENAT, uintptr(here), uintptr(unsafe.Pointer(p)), uintptr(flags), 0, 0)
}

// Close is close(2).
func Close(fd int) { _, _, _ = unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// Read is read(2) of what is there: of a descriptor that does not block.
func Read(fd int, p []byte) (int, error) { return buffer(unix.SYS_READ, uintptr(fd), p) }

// ReadDirent is getdents64(2).
func ReadDirent(fd int, p []byte) (int, error) { return buffer(unix.SYS_GETDENTS64, uintptr(fd), p) }

func buffer(number, fd uintptr, p []byte) (int, error) {
	return call(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0)
}

// Readlink is readlinkat(2).
func Readlink(dir int, path string, p []byte) (int, error) {
	s, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	return call(unix.SYS_READLINKAT, uintptr(dir), uintptr(unsafe.Pointer(s)),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0)
}

// Links returns how many links a file below a directory has (statx(2), Linux 4.11): a directory
// has one for each directory in it, and two more.
func Links(dir int, path string) (int, error) {
	s, err := unix.BytePtrFromString(path)
	if err != nil {
		return -1, err
	}
	var st unix.Statx_t
	_, err = call(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(s)), 0,
		unix.STATX_NLINK, uintptr(unsafe.Pointer(&st)))
	return int(st.Nlink), err
}

// Readable reports whether there is something to read of fd (poll(2)).
func Readable(fd int) bool {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	var now unix.Timespec
	n, err := call(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0)
	return err == nil && n == 1 && p.Revents&unix.POLLIN != 0
}

// Writable waits until fd can be written to, or has hung up, and keeps a thread meanwhile
// (poll(2)).
func Writable(fd int) {
	p := unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	_, _ = Wait(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, 0, 0, 0, 0)
}

// IsCharDevice reports whether fd is a character device, as a terminal is, by what the kernel knows
// without asking a file system (statx(2), Linux 4.11). Where that cannot be told, it may be one.
func IsCharDevice(fd int) bool {
	var st unix.Statx_t
	var empty byte
	_, _, errno := unix.RawSyscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&empty)),
		unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, uintptr(unsafe.Pointer(&st)), 0)
	return errno != 0 || st.Mode&unix.S_IFMT == unix.S_IFCHR
}

// Yield is sched_yield(2).
func Yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// IsChild reports whether pid is a child of this process that was not reaped (waitid(2), WNOWAIT).
func IsChild(pid int) bool {
	_, err := call(unix.SYS_WAITID, unix.P_PID, uintptr(pid), 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, 0)
	return err == nil
}

// PidfdOpen is pidfd_open(2), Linux 5.3.
func PidfdOpen(pid int) (int, error) { return call(unix.SYS_PIDFD_OPEN, uintptr(pid), 0, 0, 0, 0) }

// PidfdSendSignal is pidfd_send_signal(2) without siginfo, Linux 5.1.
func PidfdSendSignal(pidfd int, sig unix.Signal) error {
	_, err := call(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(pidfd), uintptr(sig), 0, 0, 0)
	return err
}

// Foreground returns the foreground process group of a terminal (tcgetpgrp(3)).
func Foreground(tty int) (int, error) {
	var group int32
	_, err := call(unix.SYS_IOCTL, uintptr(tty), unix.TIOCGPGRP, uintptr(unsafe.Pointer(&group)), 0, 0)
	return int(group), err
}

// SetForeground sets it (tcsetpgrp(3)).
func SetForeground(tty, group int) error {
	g := int32(group)
	_, err := call(unix.SYS_IOCTL, uintptr(tty), unix.TIOCSPGRP, uintptr(unsafe.Pointer(&g)), 0, 0)
	return err
}

// FutexWait waits until word is not 0 any more and [FutexWake] says so (futex(2)). It may return
// before that.
func FutexWait(word *atomic.Uint32) {
	_, _ = Wait(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWait|futexPrivate, 0, 0, 0, 0)
}

// FutexWake wakes all who wait.
func FutexWake(word *atomic.Uint32) {
	_, _ = call(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), futexWake|futexPrivate, math.MaxInt32, 0, 0)
}

// Operations of futex(2).
const (
	futexWait    = 0
	futexWake    = 1
	futexPrivate = 128
)

// File reads from a descriptor that the runtime polls: Read returns when there is something, and no
// thread waits for it.
type File struct {
	file *os.File
	conn syscall.RawConn
}

// errNotPolled is of a descriptor for which every wait would fail at once.
var errNotPolled = errors.New("the runtime does not poll it")

// NewFile returns a File that owns fd, which must be non-blocking and of a kind that epoll(7)
// takes. If it fails, fd is closed.
func NewFile(fd int, name string) (*File, error) {
	file := os.NewFile(uintptr(fd), name)
	if file == nil {
		return nil, unix.EBADF
	}
	conn, err := file.SyscallConn()
	// There is no other word for it that the runtime gives.
	if err == nil && file.SetReadDeadline(time.Time{}) != nil {
		err = errNotPolled
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &File{file, conn}, nil
}

// Read is read(2). Its error, once the file is closed, is that of [syscall.RawConn].
func (f *File) Read(p []byte) (n int, err error) {
	connErr := f.conn.Read(func(fd uintptr) bool {
		n, err = Read(int(fd), p)
		return err != unix.EAGAIN
	})
	if connErr != nil {
		return 0, connErr
	}
	return n, err
}

// Wait returns when there is something to read, without reading it.
func (f *File) Wait() error { return f.conn.Read(func(fd uintptr) bool { return Readable(int(fd)) }) }

// Receive is recvmsg(2) with MSG_CMSG_CLOEXEC. If it fails, the header is as it was.
func (f *File) Receive(header *unix.Msghdr) (n int, err error) {
	connErr := f.conn.Read(func(fd uintptr) bool {
		n, err = call(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(header)), unix.MSG_CMSG_CLOEXEC, 0, 0)
		return err != unix.EAGAIN
	})
	if connErr != nil {
		return 0, connErr
	}
	return n, err
}

// Close closes the descriptor. A Read or a Wait that waits returns.
func (f *File) Close() { _ = f.file.Close() }
