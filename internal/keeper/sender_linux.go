//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// putSender has the writer say who sent a signal.
//
//go:nosplit
func putSender(s *Signal, early bool) {
	if current >= 0 {
		l := lineAt(current)
		l.sender, l.early, l.signal = true, early, *s
	}
}

// appendSender says who sent a signal. What a sender can forge is not told from what it says.
//
//go:nosplit
func appendSender(l *line) {
	s := &l.signal
	switch {
	case s.Code > 0 || s.Code == codeTimer:
		appendTo(l, " from the kernel")
		return
	case s.PID == 0:
		appendTo(l, " from outside the PID namespace")
		return
	}
	if !appendName(l, s) && (facts.Foreign || !appendComm(l, s.PID)) {
		appendTo(l, " from pid ")
		appendNumber(l, int64(s.PID))
		appendTo(l, " (uid ")
	} else {
		appendTo(l, " (pid ")
		appendNumber(l, int64(s.PID))
		appendTo(l, ", uid ")
	}
	appendNumber(l, int64(s.UID))
	appendByte(l, ')')
}

// appendName says the name that the front has looked up.
//
//go:nosplit
func appendName(l *line, s *Signal) bool {
	if s.Name[0] == 0 {
		return false
	}
	appendTo(l, " from ")
	for a := addr(&s.Name); byteAt(a) != 0 && a < addr(&s.Name)+16; a++ {
		appendByte(l, byteAt(a))
	}
	return true
}

// appendComm says the name of a process, if /proc is this PID namespace's.
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
		return false // of another PID namespace
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
