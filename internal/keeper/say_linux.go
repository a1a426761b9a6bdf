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

const (
	lineSize        = 512
	writerStackSize = 4096
)

// line is one line on stderr. Who sent the signal that it is about, the writer puts in front of the
// tail.
type line struct {
	writer int32 // the PID of the child that writes it; 0: the line is free
	length uint32
	sender bool
	early  bool // the tail is that there is no command yet
	signal Signal
	text   [lineSize]byte
	path   [32]byte // of a file in /proc, and what it says
	stack  [writerStackSize]byte
}

var (
	lines   [writers + 1]line // the last one is the command's, before it executes
	current int32             // the line that is being composed
)

const ownLine = writers

// begin a line, which say ends. Where no line is free, it is composed in one that is never written.
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

// say has the line that was composed written.
//
//go:nosplit
func say() {
	if current < 0 {
		return
	}
	l := lineAt(current)
	stack := unsafe.Add(unsafe.Pointer(&l.stack), writerStackSize-16)
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

// sayFirst is say before a SIGKILL to everybody, which as PID 1 means the writer too: it gets a
// moment.
//
//go:nosplit
func sayFirst() {
	say()
	for until := now() + writingTime; facts.Front == 0 && isSaying() && now() < until; {
		shortTime = [2]int64{0, millisecond / 10}
		sys4(unix.SYS_PPOLL, 0, 0, addr(&shortTime), 0)
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
	outPoll = unix.PollFd{Fd: 2, Events: unix.POLLOUT}
	noTime = [2]int64{}
	return sys4(unix.SYS_PPOLL, addr(&outPoll), 1, addr(&noTime), 0) > 0
}

var (
	outPoll unix.PollFd
	noTime  [2]int64
)

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
	if !appendComm(l, s.PID) {
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
			p := unix.PollFd{Fd: 2, Events: unix.POLLOUT}
			sys4(unix.SYS_PPOLL, addr(&p), 1, 0, 0)
		case n != errInterrupted:
			return
		}
	}
}

// helpers is how many writers and closers are under way. Where the kernel refuses children without
// an exit signal, they are ordinary ones.
var (
	helpers         int32
	ordinaryHelpers bool
	helperPause     int64 // from the last look whether they have ended to the next one
)

// nextHelper is when to look whether writers and closers have ended, since nothing tells: at ever
// longer intervals, and not at all where one hangs.
//
//go:nosplit
func nextHelper() int64 {
	if helpers <= 0 || helperPause > second {
		return 0
	}
	helperPause = helperPause*2 + millisecond
	return now() + helperPause
}

// isBusyHelper reports whether a child is a writer or a closer.
//
//go:nosplit
func isBusyHelper(pid int32) bool {
	for i := int32(0); i < writers; i++ {
		if lineAt(i).writer == pid {
			return true
		}
	}
	return closerAt(0).pid == pid || closerAt(1).pid == pid
}

// isHelper reports whether a child that was reaped is a writer or a closer, and takes note of its
// end.
//
//go:nosplit
func isHelper(pid int32) bool {
	for i := int32(0); i < writers; i++ {
		if l := lineAt(i); l.writer == pid {
			l.writer = 0
			helpers--
			return true
		}
	}
	for i := int32(0); i < 2; i++ {
		if c := closerAt(i); c.pid == pid {
			c.pid = 0
			helpers--
			return true
		}
	}
	return false
}

// reapHelpers takes away the writers and closers that have ended. A plain wait does not see them.
//
//go:nosplit
func reapHelpers() {
	for helpers > 0 {
		pid := wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WCLONE)
		switch {
		case pid <= 0:
			if pid == errNoChild && !ordinaryHelpers {
				helpers = 0
			}
			return
		case pid == int(supervisor.pid):
			supervisorEnded()
		default:
			isHelper(int32(pid))
		}
	}
}

// awaitHelpers waits for what is being said and closed, a second at most. Children that are no
// helpers end unseen.
//
//go:nosplit
func awaitHelpers() {
	for until := now() + second; now() < until; {
		reapHelpers()
		if helpers <= 0 {
			return
		}
		shortTime = [2]int64{0, millisecond / 4}
		sys4(unix.SYS_PPOLL, 0, 0, addr(&shortTime), 0)
	}
}

var shortTime [2]int64
