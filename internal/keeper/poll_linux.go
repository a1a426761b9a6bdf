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
		return // there is more to do
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
		poll.fds[0].Fd = -1 // who ends now is reaped when that is over
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

// limitUntil is the limit of a wait that should end at a time; 0 is never. A ppoll(2) may end late
// by 0.1 % of its limit, by 0.5 % in a process with a nice value above 0. So a long wait ends before
// its time, and another one follows.
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

// exactWait is the longest wait that ends no later than the timer slack of a process allows (50 µs).
const exactWait = 10 * millisecond

// awaitPoll waits for the first n of poll.fds, and reports whether there is something. Where a
// filter refuses ppoll(2) it looks again a moment later.
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
			(*unix.PollFd)(unsafe.Add(unsafe.Pointer(&poll.fds), i*unsafe.Sizeof(unix.PollFd{}))).Revents = 0
		}
	}
	return r > 0
}

// beExact takes away what somebody may have given this process for timer slack: with CAP_SYS_NICE
// over it a command can make that 4 s and more (proc_pid_timerslack_ns(5)). The slack of the start
// is the command's to inherit.
//
//go:nosplit
func beExact() {
	if facts.Command != 0 || facts.Paused || run.keeper != 0 {
		sys2(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, 0) // back to that of the fork
	}
}

var poll struct {
	fds   [6]unix.PollFd
	limit [2]int64
}

// deadTime is how long a command that is dead may take until it can be waited for. A tracer can
// hold it (ptrace(2)).
const deadTime = second
