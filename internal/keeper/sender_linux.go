//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// putSender has the writer append the sender of a signal, and with early set that the signal came
// before the command was started.
//
//go:nosplit
func putSender(s *Signal, early bool) {
	if current >= 0 {
		l := lineAt(current)
		l.sender, l.early, l.signal = true, early, *s
	}
}

// appendSender writes who sent a signal, as siginfo has it.
//
//go:nosplit
func appendSender(l *line) {
	s := &l.signal
	switch {
	case s.Code > 0:
		appendTo(l, " from the kernel")
		return
	case s.PID <= 0 && !isClaimed(s):
		appendTo(l, " from outside the PID namespace")
		return
	}
	if !appendName(l, s) && (facts.Foreign || !appendComm(l, s.PID)) {
		appendTo(l, " from pid ")
		appendNumber(l, int64(max(s.PID, 0)))
		appendTo(l, " (uid ")
	} else {
		appendTo(l, " (pid ")
		appendNumber(l, int64(max(s.PID, 0)))
		appendTo(l, ", uid ")
	}
	appendNumber(l, int64(s.UID))
	appendByte(l, ')')
	if isClaimed(s) {
		appendTo(l, ", as the sender claims")
	}
}

// isClaimed reports whether the sender of a signal has written who it is (rt_sigqueueinfo(2)), and
// not the kernel.
//
//go:nosplit
func isClaimed(s *Signal) bool { return s.Code < codeUser && s.Code != codeTkill }

// appendName writes the name of a sender that the front has looked up. It returns false where there
// is none.
//
//go:nosplit
func appendName(l *line, s *Signal) bool {
	if s.Name[0] == 0 {
		return false
	}
	appendTo(l, " from ")
	for a := addr(&s.Name); a < addr(&s.Name)+16 && byteAt(a) != 0; a++ {
		appendByte(l, byteAt(a))
	}
	return true
}

// appendComm writes the name of a process. It returns false where /proc does not show it, or is
// that of another PID namespace.
//
//go:nosplit
func appendComm(l *line, pid int32) bool {
	path := addr(&l.path)
	n := sys4(unix.SYS_READLINKAT, atWorkingDirectory, text("/proc/self\x00"), path, unsafe.Sizeof(l.path)-1)
	if n <= 0 {
		return false
	}
	*(*byte)(pointer(path + uintptr(n))) = 0
	if numberAt(path) != int32(sys0(unix.SYS_GETPID)) {
		return false // /proc is that of another PID namespace
	}
	l.path = [32]byte{'/', 'p', 'r', 'o', 'c', '/'}
	end := putDigits(path+6, int64(pid))
	const file = "/comm"
	for i := 0; i < len(file); i++ {
		*(*byte)(pointer(end + uintptr(i))) = file[i]
	}
	fd := sys4(unix.SYS_OPENAT, atWorkingDirectory, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if fd < 0 {
		return false
	}
	n = sys3(unix.SYS_READ, uintptr(fd), path, unsafe.Sizeof(l.path))
	sys1(unix.SYS_CLOSE, uintptr(fd))
	if n <= 1 {
		return false
	}
	appendTo(l, " from ")
	for i := 0; i < n-1; i++ {
		c := byteAt(path + uintptr(i))
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		appendByte(l, c)
	}
	return true
}
