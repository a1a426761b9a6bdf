//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// stops are the stops of a command in the caller's process group, by job control. The front follows
// each: it stops and continues with the command, so that the caller's shell sees it.
var stops struct {
	number   int32 // of the last stop
	check    bool  // the front has heard of that stop, and is to stop if the command is still stopped
	answered bool  // a SIGCONT to the front was told since that stop
	again    int64 // when SIGCONT is sent to the front again, until it says that it runs; 0: it runs
}

// continueFront has the front continue as the command has. A stop that the front is about to follow
// discards a SIGCONT. So SIGCONT is sent again until the front says that it runs.
//
//go:nosplit
func continueFront() {
	if toFront < 0 || facts.Group { // without a front, its PID may be another process's
		return
	}
	tell(toFront, kindContinued, 0, 0)
	wakeFront()
	stops.again = now() + 20*millisecond
}

// stopFront has the front stop as the command has, or tells it that the command runs again.
// waitid(2) reports neither for a command that was continued and is about to end.
//
//go:nosplit
func stopFront() {
	if facts.Stopped && !showsRunning(facts.Command) {
		tell(toFront, kindStop, 0, 0)
	} else {
		tell(toFront, kindContinued, 0, 0)
	}
}

// isContinued reports whether a SIGCONT to the front is no news for the command. heard is the
// number of the last stop that the front had heard of when the SIGCONT arrived. A shell continues
// the whole process group, so the command has the SIGCONT already. A second one would undo the
// command's next stop.
//
//go:nosplit
func isContinued(heard int32) bool {
	if facts.Group || stops.number == 0 {
		return false
	}
	if heard != stops.number {
		return true
	}
	first, stopped := !stops.answered, facts.Stopped
	stops.answered = true
	const changes = unix.WEXITED | unix.WSTOPPED | unix.WCONTINUED | unix.WNOHANG | unix.WNOWAIT
	if wait(unix.P_PID, uintptr(facts.Command), changes) == int(facts.Command) { // it has changed again since
		if childChange.code != codeContinued {
			return true
		}
		stopped = false
	}
	return first && !stopped
}

// prepareStop sends the front a signal that stops it and that stays pending, before the keeper
// looks whether the command is still stopped. A SIGCONT discards the pending signal (signal(7)). So
// the front does not stop where a shell continues the job between the look and the stop.
//
//go:nosplit
func prepareStop() {
	if run.stoppedBy != 0 {
		run.ready, run.spare = true, waitingStop()
		kill(facts.Front, run.spare)
	}
}

// waitingStop returns the signal that prepareStop leaves pending. SIGSTOP cannot be blocked:
// SIGTSTP stands for it.
//
//go:nosplit
func waitingStop() int32 {
	switch sig := run.stoppedBy; sig {
	case int32(unix.SIGTTIN), int32(unix.SIGTTOU):
		return sig
	}
	return int32(unix.SIGTSTP)
}

// followStop stops the front by the signal that stopped the command, since the caller's shell tells
// these signals apart. The kernel does not stop an orphaned process group by SIGTSTP, SIGTTIN or
// SIGTTOU.
//
//go:nosplit
func followStop() {
	run.follow, run.ready = false, false
	if sig := waitingStop(); sig == run.stoppedBy {
		letThrough(sig)
	} else if sys2(unix.SYS_RT_SIGPENDING, addr(&waiting), 8); inSet(waiting, sig) {
		kill(facts.Front, int32(unix.SIGSTOP))
	}
}

// waiting are the signals that are pending (rt_sigpending(2)).
var waiting uint64

// letThrough has this process receive a pending signal, which may be ignored.
//
//go:nosplit
func letThrough(sig int32) {
	sys4(unix.SYS_RT_SIGACTION, uintptr(sig), addr(&defaultAction), 0, 8)
	unblocked = everySignal &^ (1 << (uint32(sig-1) & 63))
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, addr(&unblocked), 0, 8)
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, addr(&allSignals), 0, 8)
}

// unblocked is the signal mask of letThrough.
var unblocked uint64
