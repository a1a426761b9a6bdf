package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// stop stops each target once.
func (a *attacker) stop() {
	for _, p := range a.targets() {
		a.try(unix.Kill(p.pid, unix.SIGSTOP))
	}
}

// kill kills each target once.
func (a *attacker) kill() {
	for _, p := range a.targets() {
		a.try(unix.Kill(p.pid, unix.SIGKILL))
	}
}

const floodSize = 400 // signals to each target

// flood sends signals of every kind that does not stop and does not kill.
func (a *attacker) flood() {
	for _, p := range a.targets() {
		for range floodSize {
			sig := 1 + a.random.IntN(64)
			if sig == int(unix.SIGKILL) || sig == int(unix.SIGSTOP) {
				continue
			}
			if a.random.IntN(2) == 0 {
				a.try(unix.Kill(p.pid, unix.Signal(sig)))
			} else {
				a.try(queue(p.pid, sig, -1, uint64(a.random.Int64())))
			}
		}
	}
}

// queue is rt_sigqueueinfo(2) with a code of the sender's choice.
func queue(pid, sig int, code int32, value uint64) error {
	var info [128]byte
	*(*int32)(unsafe.Pointer(&info[0])) = int32(sig)
	*(*int32)(unsafe.Pointer(&info[8])) = code
	*(*int32)(unsafe.Pointer(&info[16])) = int32(pid)
	*(*uint64)(unsafe.Pointer(&info[24])) = value
	_, _, e := unix.Syscall(
		unix.SYS_RT_SIGQUEUEINFO,
		uintptr(pid),
		uintptr(sig),
		uintptr(unsafe.Pointer(&info[0])),
	)
	return errnoOf(e)
}

var (
	forged = []unix.Signal{
		unix.SIGCHLD,
		unix.SIGCONT,
		unix.SIGTERM,
		unix.SIGHUP,
		unix.SIGINT,
		unix.SIGALRM,
		34,
		64,
	}
	spread = []unix.Signal{
		unix.SIGTERM, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1,
		unix.SIGTSTP, unix.SIGCONT, unix.SIGWINCH, 34, 64,
	}
)

// forge sends signals that pretend to be the kernel's, a timer's or a child's.
func (a *attacker) forge() {
	codes := []int32{-1, -2, -3, -4, -5, -6, -7, -60, 0, 1, 0x80}
	for _, p := range a.targets() {
		for _, code := range codes {
			for _, sig := range forged {
				a.try(queue(p.pid, int(sig), code, uint64(a.prey.command)))
			}
		}
	}
}

// everybody sends a signal that does not kill whom it should not to everybody in the PID namespace.
func (a *attacker) everybody() {
	for _, sig := range spread {
		a.try(unix.Kill(-1, sig))
	}
}

// stopEverybody stops everybody in the PID namespace but itself.
func (a *attacker) stopEverybody() { a.try(unix.Kill(-1, unix.SIGSTOP)) }
