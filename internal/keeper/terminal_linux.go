//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// terminal is the controlling terminal, where the command leads a process group of its own and gets
// the foreground from this process's group. A command in the caller's group has it as the caller's,
// and finite leaves the terminal alone.
var terminal struct {
	fd      int32        // -1: none
	group   int32        // this process's group, which had the foreground at the start
	current int32        // the foreground process group, for ioctl(2)
	given   bool         // the command got the foreground
	saved   bool         // modes has the modes of the start
	modes   unix.Termios // see returnTerminal
}

// findTerminal opens the controlling terminal, by its own name first: a standard descriptor may be
// another terminal. Where a minimal image lacks the name, the standard descriptors are tried.
//
//go:nosplit
func findTerminal() {
	terminal.fd = high(sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/dev/tty\x00"),
		unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0))
	for std := uintptr(0); std < 3 && terminal.fd < 0; std++ {
		if isCharacterDevice(std) && sys3(unix.SYS_IOCTL, std, unix.TIOCGPGRP, addr(&terminal.current)) >= 0 {
			terminal.fd = int32(sys3(unix.SYS_FCNTL, std, unix.F_DUPFD_CLOEXEC, 3))
		}
	}
}

// takeTerminal has the command get the foreground, if this process's group has it.
//
//go:nosplit
func takeTerminal() {
	command.tty = -1
	terminal.group = int32(sys1(unix.SYS_GETPGID, 0))
	if terminal.fd < 0 || foreground() != terminal.group || facts.Foreign && hadForeground == 0 {
		return
	}
	command.tty, terminal.given = terminal.fd, true
	terminal.saved = sys3(unix.SYS_IOCTL, uintptr(terminal.fd), unix.TCGETS, addr(&terminal.modes)) >= 0
}

// foreground is the foreground process group of the terminal, or negative.
//
//go:nosplit
func foreground() int32 {
	if r := sys3(unix.SYS_IOCTL, uintptr(terminal.fd), unix.TIOCGPGRP, addr(&terminal.current)); r < 0 {
		return -1
	}
	return terminal.current
}

// setForeground sets the foreground process group of the terminal.
//
//go:nosplit
func setForeground(group int32) {
	terminal.current = group
	// SIGTTOU, which this may send, is blocked.
	sys3(unix.SYS_IOCTL, uintptr(terminal.fd), unix.TIOCSPGRP, addr(&terminal.current))
}

// offerTerminal gives the foreground to the command again, where this process's group has it. A
// shell that continues a job gives it to that group.
//
//go:nosplit
func offerTerminal() {
	if terminal.given && foreground() == terminal.group {
		setForeground(facts.Command)
	}
}

// returnTerminal takes the foreground back from the command, and from a group that is gone. It sets
// the modes of the start where the command was killed, and could not do that.
//
//go:nosplit
func returnTerminal(killed bool) {
	if !terminal.given {
		return
	}
	if killed && terminal.saved {
		sys3(unix.SYS_IOCTL, uintptr(terminal.fd), unix.TCSETS, addr(&terminal.modes))
	}
	group := foreground()
	if facts.Foreign {
		return // takeForeground, in the front, does the rest
	}
	if group == facts.Command || group > 0 && group != terminal.group && kill(-group, 0) == errNoProcess {
		setForeground(terminal.group)
	}
}
