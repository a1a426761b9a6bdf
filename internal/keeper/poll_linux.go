//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sleep waits until something happens, or is due.
//
//go:nosplit
func sleep() {
	if tree.empty == tree.others || command.settled || command.wanted {
		return // the loop has more to do
	}
	if hold.wanted {
		hold.wanted, hold.until = false, now()+longestHold
		packet.message = Message{}
		tellSupervisor(KindHeld)
	}
	poll.fds = [6]unix.PollFd{
		{Fd: childFD, Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN},
		{Fd: toFront},
		{Fd: supervisor.socket, Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN},
		{Fd: command.watch[0], Events: unix.POLLIN},
	}
	if due.watch != 0 {
		poll.fds[5].Fd = -1
	}
	if hold.until != 0 {
		poll.fds[0].Fd = -1 // a child that ends now is reaped after the hold
	}
	if readsSignals() {
		poll.fds[1].Fd = signalFD
	}
	if hearsFront() {
		poll.fds[2].Events = unix.POLLIN
	}
	if facts.Command != 0 && facts.Ended.Code == 0 && due.dead == 0 && facts.Dead == 0 {
		poll.fds[4].Fd = facts.Pidfd
	}
	if !awaitPoll(6, limitUntil(nextDue())) {
		return
	}
	if poll.fds[2].Revents&unix.POLLHUP != 0 && !hearsFront() {
		frontGone()
	}
	if poll.fds[4].Revents != 0 {
		due.dead = now() + deadTime
	}
	if poll.fds[5].Revents != 0 {
		hearChild()
	}
}

// limitUntil returns the address of a limit for awaitPoll that ends at a time, or 0 for the time 0.
// A ppoll(2) may end late by 0.1 % of its limit, or by 0.5 % in a process with a nice value above
// 0. So a long wait ends before its time, and another wait follows.
//
//go:nosplit
func limitUntil(at int64) uintptr {
	if at == 0 {
		return 0
	}
	left := max(at-now(), 0)
	if left > exactWait {
		left -= left / 128
	}
	poll.limit = [2]int64{left / second, left % second}
	return addr(&poll.limit)
}

// exactWait is the longest wait that ends as exactly as the timer slack of a process allows (50
// µs).
const exactWait = 10 * millisecond

// awaitPoll waits for the first n of poll.fds, and reports whether one has an event. Where a
// seccomp filter refuses ppoll(2), awaitPoll returns after a millisecond, and its caller looks at
// everything.
//
//go:nosplit
func awaitPoll(n, limit uintptr) bool {
	if limit != 0 {
		beExact()
	}
	r := sys5(unix.SYS_PPOLL, addr(&poll.fds), n, limit, 0, 0)
	if r < 0 && r != errInterrupted {
		beExact()
		shortTime = [2]int64{0, millisecond}
		sys2(unix.SYS_NANOSLEEP, addr(&shortTime), 0)
		for i := uintptr(0); i < n; i++ {
			fd := (*unix.PollFd)(unsafe.Add(unsafe.Pointer(&poll.fds), i*unsafe.Sizeof(unix.PollFd{})))
			fd.Revents = 0
		}
	}
	return r > 0
}

// beExact resets the timer slack of this process. With CAP_SYS_NICE a command can set it to 4 s and
// more (proc_pid_timerslack_ns(5)). Before the command is started the slack stays, since the
// command inherits it.
//
//go:nosplit
func beExact() {
	if facts.Begun() || run.keeper != 0 {
		sys2(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 0) // back to that of the fork
	}
}

// poll has the arguments of ppoll(2).
var poll struct {
	fds   [6]unix.PollFd
	limit [2]int64
}

// deadTime is how long a command that is dead by its pidfd may take until waitid(2) returns it. A
// tracer can delay that (ptrace(2)).
const deadTime = second
