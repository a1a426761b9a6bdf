package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// groups moves targets and itself between process groups and sessions.
func (a *attacker) groups() {
	for _, p := range a.targets() {
		a.try(unix.Setpgid(p.pid, p.pid))
		a.try(unix.Setpgid(p.pid, unix.Getpgrp()))
		group, err := unix.Getpgid(p.pid)
		if a.try(err) {
			a.try(unix.Setpgid(0, group))
			a.try(unix.Kill(-group, unix.SIGCONT))
			a.try(unix.Kill(-group, unix.SIGHUP))
		}
	}
	a.try(unix.Setpgid(0, 0))
}

// terminal does what a process can do to the terminal that it shares with others.
func (a *attacker) terminal() {
	tty, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if !a.try(err) {
		return
	}
	defer unix.Close(tty)
	// Ctrl-C, Ctrl-Z, Ctrl-\, Ctrl-D, Ctrl-Q, Ctrl-S.
	for _, key := range []byte{3, 26, 28, 4, 17, 19, 'x', '\n'} {
		a.try(call(unix.SYS_IOCTL, uintptr(tty), unix.TIOCSTI, uintptr(unsafe.Pointer(&key))))
	}
	for _, group := range []int{unix.Getpgrp(), a.prey.front, a.prey.keeper, 1} {
		a.try(unix.IoctlSetPointerInt(tty, unix.TIOCSPGRP, group))
	}
	modes, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	if a.try(err) {
		modes.Lflag = unix.TOSTOP | unix.ISIG
		a.try(unix.IoctlSetTermios(tty, unix.TCSETS, modes))
	}
	const output = 0 // TCOOFF
	a.try(unix.IoctlSetInt(tty, unix.TCXONC, output))
	a.try(unix.IoctlSetInt(tty, unix.TIOCEXCL, 0))
	a.try(unix.IoctlSetInt(tty, unix.TIOCNOTTY, 0))
	a.try(unix.IoctlSetInt(tty, unix.TIOCSCTTY, 1))
	a.try(call(unix.SYS_VHANGUP))
}
