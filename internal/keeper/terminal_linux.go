//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// terminal is the controlling terminal, where the command leads a process group of its own and this
// process has the foreground. Elsewhere the command stays in the caller's group, and the terminal
// is no business of finite's.
var terminal struct {
	fd      int32 // -1: none
	group   int32 // that had the foreground at the start
	current int32
	given   bool // the command got the foreground
	saved   bool
	modes   unix.Termios
}

// findTerminal opens the controlling terminal. It is opened by its own name first: a standard
// descriptor may be another terminal, and a minimal image may lack the name.
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

// foreground is the terminal's foreground process group, or negative.
//
//go:nosplit
func foreground() int32 {
	if r := sys3(unix.SYS_IOCTL, uintptr(terminal.fd), unix.TIOCGPGRP, addr(&terminal.current)); r < 0 {
		return -1
	}
	return terminal.current
}

//go:nosplit
func setForeground(group int32) {
	terminal.current = group
	sys3(unix.SYS_IOCTL, uintptr(terminal.fd), unix.TIOCSPGRP, addr(&terminal.current)) // SIGTTOU is blocked
}

// offerTerminal gives the foreground to the command again, where this process's group has it: a
// shell that continues a job puts that there.
//
//go:nosplit
func offerTerminal() {
	if terminal.given && foreground() == terminal.group {
		setForeground(facts.Command)
	}
}

// returnTerminal takes the foreground back from the command's group, and from a group that is gone.
// The modes are put back where the command could not do that itself.
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
		return // the front sees to it
	}
	if group == facts.Command || group > 0 && group != terminal.group && kill(-group, 0) == errNoProcess {
		setForeground(terminal.group)
	}
}
