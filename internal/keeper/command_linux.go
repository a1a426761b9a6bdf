//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Exit statuses of a command that could not be run, as env(1) and the shells have them.
const (
	statusFailure       = 125
	statusNotExecutable = 126
	statusNotFound      = 127
	statusDeadline      = 124
)

const (
	commandStackSize = 8192
	pathSize         = 4096 // PATH_MAX
)

var command struct {
	path  [pathSize + 16]byte    // with the byte that ends it; the stack stays aligned
	stack [commandStackSize]byte // the end of it is used, which is on a page with what follows
	group bool                   // it is to lead a process group of its own
	quiet bool                   // a supervisor says what fails
	tty   int32                  // the terminal whose foreground it is to get; -1: none
	pid   int32                  // as the command sees it

	onTerminal bool // there is a controlling terminal

	wanted  bool // a supervisor has asked for it
	grouped bool // and for a process group of its own
	settled bool // it runs, and what is the caller's can be left

	moves   bool       // it moves into its cgroup by itself
	ran     bool       // it has run at all
	told    bool       // the supervisor knows that it runs
	why     int32      // why it was not executed, a NotStarted
	watch   [2]int32   // a pipe that is closed by the execution, -1: nobody wants to know
	failure [2]int32   // what the child says by the pipe: an errno and a NotStarted
	says    int32      // the child's end of the pipe
	cloned  [11]uint64 // struct clone_args

	listen, watchdog [32]byte // LISTEN_PID and WATCHDOG_PID, which named finite
}

// startCommand makes the command's process. It returns the PID or a negative errno, and puts the
// pidfd into facts.
//
// The child shares the memory and has a stack of its own, so nobody waits until execve(2) has
// returned, which can hang on a file system that does not answer. Where that is refused the child
// has a copy of the memory.
//
//go:nosplit
func startCommand() int {
	stack := topOf(addr(&command.stack), commandStackSize)
	facts.Pidfd = -1
	closeEnvironment()
	if command.quiet {
		if r := watchExecution(); r < 0 {
			return r
		}
	}
	command.says, command.failure = command.watch[1], [2]int32{} // the parent forgets the other one
	pid := cloneCommand(stack)
	closeFD(command.watch[1])
	command.watch[1] = -1
	if pid < 0 {
		endWatch()
		return pid
	}
	if facts.Pidfd >= 0 && facts.Pidfd < 3 {
		facts.Pidfd = high(int(facts.Pidfd))
	}
	if facts.Pidfd >= 0 && sendByPidfd(facts.Pidfd, 0) == errNoSystem {
		closeFD(facts.Pidfd)
		facts.Pidfd = -1
	}
	return pid
}

// watchExecution makes a pipe of which the child has an end until it executes the command, or ends.
// It returns a negative errno if it fails. Where there are too few descriptors, /proc can be done
// without.
//
//go:nosplit
func watchExecution() int {
	command.watch = [2]int32{-1, -1}
	r := sys2(unix.SYS_PIPE2, addr(&command.watch), unix.O_CLOEXEC|unix.O_NONBLOCK)
	if r < 0 && procFD >= 0 {
		closeFD(procFD)
		procFD = -1
		r = sys2(unix.SYS_PIPE2, addr(&command.watch), unix.O_CLOEXEC|unix.O_NONBLOCK)
	}
	if r < 0 {
		return r
	}
	command.watch[0], command.watch[1] = high(int(command.watch[0])), high(int(command.watch[1]))
	return int(min(command.watch[0], command.watch[1], 0))
}

//go:nosplit
func cloneCommand(stack unsafe.Pointer) int {
	if facts.Cgroup >= 0 && !command.moves {
		command.cloned = [11]uint64{
			0: unix.CLONE_VM | unix.CLONE_PIDFD | unix.CLONE_INTO_CGROUP, 1: uint64(addr(&facts.Pidfd)), 4: uint64(unix.SIGCHLD),
			5: uint64(addr(&command.stack)), 6: uint64(uintptr(stack) - addr(&command.stack)), 10: uint64(facts.Cgroup),
		}
		return int(spawnInto(addr(&command.cloned), unsafe.Sizeof(command.cloned), becomeCommand))
	}
	pid := int(spawn(unix.CLONE_VM|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), stack, &facts.Pidfd, becomeCommand))
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_VM|uintptr(unix.SIGCHLD), stack, nil, becomeCommand))
	}
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), stack, &facts.Pidfd, becomeCommand))
	}
	if isRefused(pid) {
		pid = int(spawn(uintptr(unix.SIGCHLD), stack, nil, becomeCommand))
	}
	return pid
}

// becomeCommand is what the child does until it executes the command.
//
//go:nosplit
func becomeCommand() {
	command.ran = true
	if command.quiet && facts.Cgroup >= 0 { // the memory may be a copy
		sys3(unix.SYS_WRITE, uintptr(command.says), addr(&command.failure), unsafe.Sizeof(command.failure))
	}
	command.pid = int32(sys0(unix.SYS_GETPID))
	if facts.Cgroup >= 0 && command.moves {
		r := int(facts.Procs)
		if r < 0 {
			r = sys4(unix.SYS_OPENAT, uintptr(facts.Cgroup), text("cgroup.procs\x00"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		}
		if r >= 0 {
			r = sys3(unix.SYS_WRITE, uintptr(r), text("0"), 1)
		}
		if r < 0 {
			command.why = NotInCgroup
			giveUp(r)
		}
	}
	if command.group {
		sys2(unix.SYS_SETPGID, 0, 0)
		if command.tty >= 0 {
			sys3(unix.SYS_IOCTL, uintptr(command.tty), unix.TIOCSPGRP, addr(&command.pid)) // SIGTTOU is blocked
		}
	}
	nameCommand()
	withholdDescriptors()
	if inherited.child.handler == ignored {
		sys4(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), addr(&inherited.child), 0, 8)
	}
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, addr(&inherited.mask), 0, 8)
	giveUp(execute())
}

// giveUp ends the child, for which it was too late to be anything else.
//
//go:nosplit
func giveUp(errno int) {
	facts.StartError = int32(-errno)
	if command.quiet { // the memory may be a copy: the pipe tells
		command.failure = [2]int32{int32(-errno), command.why}
		sys3(unix.SYS_WRITE, uintptr(command.says), addr(&command.failure), unsafe.Sizeof(command.failure))
		exit(statusFailure)
	}
	l := lineAt(ownLine) // not the one that the parent composes
	beginLine(l)
	appendTo(l, "cannot run ")
	appendQuoted(l, wordAt(plain.argv, 0))
	appendTo(l, ": ")
	appendError(l, errno)
	finishLine(l)
	writeLine(l)
	if errno == errNoEntry {
		exit(statusNotFound)
	}
	exit(statusNotExecutable)
}

// nameCommand puts the command's PID where the variables of sd_listen_fds(3) and
// sd_watchdog_enabled(3) name the process that finite was executed as.
//
//go:nosplit
func nameCommand() {
	own := facts.Front
	if own == 0 {
		own = facts.Keeper
	}
	for i := 0; wordAt(plain.commandEnv, i) != 0; i++ {
		entry := wordAt(plain.commandEnv, i)
		if value := hasPrefix(entry, "LISTEN_PID="); value != 0 && isNumber(value, own) {
			setWord(plain.commandEnv, i, withPID(&command.listen, entry, value))
		}
		if value := hasPrefix(entry, "WATCHDOG_PID="); value != 0 && isNumber(value, own) {
			setWord(plain.commandEnv, i, withPID(&command.watchdog, entry, value))
		}
	}
}

// isNumber reports whether a C string is a number in decimal digits.
//
//go:nosplit
func isNumber(a uintptr, n int32) bool {
	value := int64(0)
	for ; byteAt(a) >= '0' && byteAt(a) <= '9' && value < 1<<32; a++ {
		value = value*10 + int64(byteAt(a)-'0')
	}
	return byteAt(a) == 0 && value == int64(n)
}

// withPID copies the name of a variable up to its value, and puts the command's PID behind it.
//
//go:nosplit
func withPID(to *[32]byte, entry, value uintptr) uintptr {
	out := addr(to)
	for a := entry; a < value; a++ {
		*(*byte)(pointer(out)) = byteAt(a)
		out++
	}
	out = putDigits(out, int64(command.pid))
	*(*byte)(pointer(out)) = 0
	return addr(to)
}

// execute executes the command, and returns a negative errno where that fails. A name with a slash
// is a path, any other is looked up in PATH, as execvp(3) does: what is found but cannot be
// executed is passed over, and is the error (EACCES) if nothing else is found.
//
//go:nosplit
func execute() int {
	name := wordAt(plain.argv, 0)
	command.why = NotFound
	if byteAt(name) == 0 {
		return errNoEntry
	}
	for a := name; byteAt(a) != 0; a++ {
		if byteAt(a) == '/' {
			return executeFile(name)
		}
	}
	list := plain.path
	if list == 0 {
		list = text("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\x00")
	}
	found := errNoEntry
	for {
		end := joinPath(list, name)
		switch r := isExecutable(); r {
		case 0:
			return executeFile(addr(&command.path))
		case errAccess:
			found = errAccess
		}
		if byteAt(end) == 0 {
			return found
		}
		list = end + 1
	}
}

// joinPath puts the first directory of a list and a name into command.path, which is empty where
// that is too long, and returns where the directory ends in the list.
//
//go:nosplit
func joinPath(list, name uintptr) (end uintptr) {
	n := uintptr(0)
	for end = list; byteAt(end) != ':' && byteAt(end) != 0; end++ {
		n = putPath(n, byteAt(end))
	}
	if end == list {
		n = putPath(n, '.')
	}
	n = putPath(n, '/')
	for ; byteAt(name) != 0; name++ {
		n = putPath(n, byteAt(name))
	}
	if n == pathSize {
		n = 0
	}
	*(*byte)(pointer(addr(&command.path) + n)) = 0
	return end
}

//go:nosplit
func putPath(n uintptr, c byte) uintptr {
	*(*byte)(pointer(addr(&command.path) + n)) = c
	return min(n+1, pathSize)
}

var fileStat unix.Stat_t

// isExecutable returns 0 where command.path is a file that may be executed, or a negative errno.
//
//go:nosplit
func isExecutable() int {
	r := sys4(unix.SYS_FACCESSAT2, atWorkingDirectory, addr(&command.path), unix.X_OK, unix.AT_EACCESS)
	if r == errNoSystem || r == -int(unix.EPERM) { // before Linux 5.8, or by a filter
		r = sys3(unix.SYS_FACCESSAT, atWorkingDirectory, addr(&command.path), unix.X_OK)
	}
	if r < 0 {
		return r
	}
	if r = sys4(sysFstatat, atWorkingDirectory, addr(&command.path), addr(&fileStat), 0); r < 0 {
		return r
	}
	if fileStat.Mode&unix.S_IFMT == unix.S_IFDIR {
		return errAccess
	}
	return 0
}

// executeFile executes one file. One without an interpreter line is a script of the shell's, as for
// execvp(3).
//
//go:nosplit
func executeFile(file uintptr) int {
	command.why = NotExecuted
	r := sys3(unix.SYS_EXECVE, file, plain.argv, plain.commandEnv)
	if r != errNotExec {
		return r
	}
	room, n := makeArray(plain.argv, 2)
	if room == 0 {
		return r
	}
	shell := text("/bin/sh\x00")
	setWord(room, 0, shell)
	setWord(room, 1, file)
	for i := 1; i <= n; i++ { // and the zero at the end
		setWord(room, i+1, wordAt(plain.argv, i))
	}
	sys3(unix.SYS_EXECVE, shell, room, plain.commandEnv)
	return r
}

//go:nosplit
func putError(errno int) {
	if current >= 0 {
		appendError(lineAt(current), errno)
	}
}

// appendError writes what errno means, in the words that the rest of finite uses.
//
//go:nosplit
func appendError(l *line, errno int) {
	for i := range errorTexts {
		if e := (*errorText)(unsafe.Add(unsafe.Pointer(&errorTexts), uintptr(i)*unsafe.Sizeof(errorText{}))); int(e.errno) == -errno {
			appendTo(l, e.text)
			return
		}
	}
	appendTo(l, "errno ")
	appendNumber(l, int64(-errno))
}

type errorText struct {
	errno unix.Errno
	text  string
}

// errorTexts are the errors of clone(2), execve(2), and the calls of a plan.
var errorTexts = [...]errorText{
	{unix.EPERM, "operation not permitted"},
	{unix.ENOENT, "no such file or directory"},
	{unix.EIO, "input/output error"},
	{unix.E2BIG, "argument list too long"},
	{unix.ENOEXEC, "exec format error"},
	{unix.EBUSY, "device or resource busy"},
	{unix.EAGAIN, "resource temporarily unavailable"},
	{unix.ENOMEM, "cannot allocate memory"},
	{unix.EACCES, "permission denied"},
	{unix.EFAULT, "bad address"},
	{unix.ENOTDIR, "not a directory"},
	{unix.EISDIR, "is a directory"},
	{unix.EINVAL, "invalid argument"},
	{unix.ENFILE, "too many open files in system"},
	{unix.EMFILE, "too many open files"},
	{unix.EFBIG, "file too large"},
	{unix.ENOSPC, "no space left on device"},
	{unix.EUSERS, "too many users"},
	{unix.ETXTBSY, "text file busy"},
	{unix.ENAMETOOLONG, "file name too long"},
	{unix.ENOSYS, "function not implemented"},
	{unix.ELOOP, "too many levels of symbolic links"},
	{unix.ELIBBAD, "accessing a corrupted shared library"},
	{unix.ESTALE, "stale file handle"},
}
