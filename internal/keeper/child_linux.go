//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

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
			const flags = unix.O_WRONLY | unix.O_CLOEXEC
			r = sys4(unix.SYS_OPENAT, uintptr(facts.Cgroup), text("cgroup.procs\x00"), flags, 0)
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
			// SIGTTOU, which this may send, is blocked.
			sys3(unix.SYS_IOCTL, uintptr(command.tty), unix.TIOCSPGRP, addr(&command.pid))
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

// giveUp ends a child that cannot become the command.
//
//go:nosplit
func giveUp(errno int) {
	facts.StartError = int32(-errno)
	if command.quiet { // the memory may be a copy: the pipe tells
		command.failure = [2]int32{int32(-errno), command.why}
		sys3(unix.SYS_WRITE, uintptr(command.says), addr(&command.failure), unsafe.Sizeof(command.failure))
		exit(statusFailure)
	}
	l := lineAt(ownLine) // the keeper may be composing another one
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

// nameCommand puts the command's PID where variables of sd_listen_fds(3) and sd_watchdog_enabled(3)
// have the PID of the process that executed finite's file: that of the front, or of a keeper
// without a front.
//
//go:nosplit
func nameCommand() {
	named := facts.Front
	if named == 0 {
		named = facts.Keeper
	}
	for i := 0; wordAt(plain.commandEnv, i) != 0; i++ {
		entry := wordAt(plain.commandEnv, i)
		if value := hasPrefix(entry, "LISTEN_PID="); value != 0 && isNumber(value, named) {
			setWord(plain.commandEnv, i, withPID(&command.listen, entry, value))
		}
		if value := hasPrefix(entry, "WATCHDOG_PID="); value != 0 && isNumber(value, named) {
			setWord(plain.commandEnv, i, withPID(&command.watchdog, entry, value))
		}
	}
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
