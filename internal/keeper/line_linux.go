//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	lineSize        = 512
	writerStackSize = 4096
)

// line is one line on stderr. The writer appends the sender of the signal that the line is about.
type line struct {
	writer int32 // the PID of the child that writes it; 0: the line is free
	length uint32
	sender bool // the line ends with the sender of signal
	early  bool // the line ends with "before the command was started"
	signal Signal
	text   [lineSize]byte
	path   [32]byte // a path in /proc, and what is read there
	stack  [writerStackSize]byte
}

var (
	lines   [writers + 1]line
	current int32 // the line that is being composed; -1: none was free
)

// ownLine is the line of a child that cannot become the command.
const ownLine = writers

// startLine begins a line, which say ends. Where no line is free, put and the like do nothing, and
// so does say.
//
//go:nosplit
func startLine() {
	current = -1
	for i := int32(0); i < writers; i++ {
		if lineAt(i).writer == 0 {
			current = i
			break
		}
	}
	if current >= 0 {
		beginLine(lineAt(current))
	}
}

// beginLine begins a line in l.
//
//go:nosplit
func beginLine(l *line) {
	l.length, l.sender, l.early = 0, false, false
	appendTo(l, "finite: ")
}

// lineAt is the i-th line.
//
//go:nosplit
func lineAt(i int32) *line {
	return (*line)(unsafe.Add(unsafe.Pointer(&lines), uintptr(i)*unsafe.Sizeof(line{})))
}

// putByte and the other functions that begin with put write to the line that is being composed.
//
//go:nosplit
func putByte(c byte) {
	if current >= 0 {
		appendByte(lineAt(current), c)
	}
}

// appendByte and the other functions that begin with append write to any line. What there is no
// room for is left out.
//
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

// putDuration writes a duration in whole milliseconds as time.Duration.String does.
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

//go:nosplit
func putQuoted(a uintptr) {
	if current >= 0 {
		appendQuoted(lineAt(current), a)
	}
}

// appendQuoted writes a C string as a quoted string of Go. Bytes that are not ASCII stay as they
// are.
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

// finishLine ends a line, with the sender of the signal that the line is about.
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

// endLine ends a line.
//
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

// putSignal writes the name of a stop signal, and the number of any other.
//
//go:nosplit
func putSignal(number int32) {
	switch unix.Signal(number) {
	case unix.SIGHUP:
		put("SIGHUP")
	case unix.SIGINT:
		put("SIGINT")
	case unix.SIGQUIT:
		put("SIGQUIT")
	case unix.SIGTERM:
		put("SIGTERM")
	default:
		put("signal ")
		putNumber(int64(number))
	}
}
