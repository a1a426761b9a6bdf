//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

//go:nosplit
func beginLine(l *line) {
	l.length, l.sender, l.early = 0, false, false
	appendTo(l, "finite: ")
}

//go:nosplit
func lineAt(i int32) *line {
	return (*line)(unsafe.Add(unsafe.Pointer(&lines), uintptr(i)*unsafe.Sizeof(line{})))
}

//go:nosplit
func putByte(c byte) {
	if current >= 0 {
		appendByte(lineAt(current), c)
	}
}

//go:nosplit
func appendByte(l *line, c byte) {
	if l.length < lineSize {
		*(*byte)(unsafe.Add(unsafe.Pointer(&l.text), l.length)) = c
		l.length++
	}
}

//go:nosplit
func put(s string) {
	for i := 0; i < len(s); i++ {
		putByte(s[i])
	}
}

//go:nosplit
func putNumber(n int64) {
	if current >= 0 {
		appendNumber(lineAt(current), n)
	}
}

// appendNumber writes a number that is not negative in decimal digits.
//
//go:nosplit
func appendNumber(l *line, n int64) {
	if l.length+mostDigits <= lineSize {
		at := addr(&l.text) + uintptr(l.length)
		l.length += uint32(putDigits(at, n) - at)
	}
}

const mostDigits = 19 // of a number that is not negative

// putDigits writes a number that is not negative in decimal digits at an address, and returns where
// they end.
//
//go:nosplit
func putDigits(at uintptr, n int64) (end uintptr) {
	end = at + 1
	for m := n; m >= 10; m /= 10 {
		end++
	}
	for a := end - 1; a >= at; a-- {
		*(*byte)(pointer(a)) = byte('0' + n%10)
		n /= 10
	}
	return end
}

// putDuration writes what time.Duration's String writes, of whole milliseconds.
//
//go:nosplit
func putDuration(d int64) {
	ms := d / millisecond
	if ms != 0 && ms < 1000 {
		putNumber(ms)
		put("ms")
		return
	}
	if ms >= 3600_000 {
		putNumber(ms / 3600_000)
		putByte('h')
	}
	if ms >= 60_000 {
		putNumber(ms / 60_000 % 60)
		putByte('m')
	}
	ms %= 60_000
	putNumber(ms / 1000)
	if ms %= 1000; ms != 0 {
		putByte('.')
	}
	for ; ms != 0; ms = ms % 100 * 10 {
		putByte(byte('0' + ms/100))
	}
	putByte('s')
}

// putSender has the writer say who sent a signal.
//
//go:nosplit
func putSender(s *Signal, early bool) {
	if current >= 0 {
		l := lineAt(current)
		l.sender, l.early, l.signal = true, early, *s
	}
}

//go:nosplit
func putQuoted(a uintptr) {
	if current >= 0 {
		appendQuoted(lineAt(current), a)
	}
}

// appendQuoted writes a C string as %q does, but for bytes that are no ASCII, which it leaves as
// they are.
//
//go:nosplit
func appendQuoted(l *line, a uintptr) {
	const digits = "0123456789abcdef"
	appendByte(l, '"')
	for ; byteAt(a) != 0; a++ {
		switch c := byteAt(a); {
		case c == '"' || c == '\\':
			appendByte(l, '\\')
			appendByte(l, c)
		case c == '\n':
			appendTo(l, `\n`)
		case c == '\t':
			appendTo(l, `\t`)
		case c == '\r':
			appendTo(l, `\r`)
		case c < ' ' || c == 0x7f:
			appendTo(l, `\x`)
			appendByte(l, digits[c>>4])
			appendByte(l, digits[c&15])
		default:
			appendByte(l, c)
		}
	}
	appendByte(l, '"')
}

// finishLine ends a line, after the name of who sent the signal that it is about.
//
//go:nosplit
func finishLine(l *line) {
	if l.sender {
		appendSender(l)
	}
	if l.early {
		appendTo(l, " before the command was started")
	}
	endLine(l)
}

//go:nosplit
func endLine(l *line) {
	l.length = min(l.length, lineSize-1)
	appendByte(l, '\n')
}

//go:nosplit
func appendTo(l *line, s string) {
	for i := 0; i < len(s); i++ {
		appendByte(l, s[i])
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

const atWorkingDirectory = ^uintptr(99) // AT_FDCWD, -100
