//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// stops are those of a command in the caller's process group, which the front follows.
var stops struct {
	number   int32 // of the last one
	check    bool  // the front has heard of it, and is to be stopped if the command still is
	answered bool  // a SIGCONT to the front was told of since
	again    int64 // when the front is to be continued again, unless it says that it runs; 0: it does
}

// continueFront has the front continue as the command has. A stop that the front is about to follow
// discards a SIGCONT, so it is sent until the front says that it runs.
//
//go:nosplit
func continueFront() {
	if toFront < 0 || facts.Group { // its number may be another's by now
		return
	}
	tell(toFront, kindContinued, 0, 0)
	wakeFront()
	stops.again = now() + 20*millisecond
}

// stopFront has the front stop as the command has, or tells it that the command runs again. Of a
// command that was continued and is about to end waitid(2) tells neither.
//
//go:nosplit
func stopFront() {
	if facts.Stopped && !showsRunning(facts.Command) {
		tell(toFront, kindStop, 0, 0)
	} else {
		tell(toFront, kindContinued, 0, 0)
	}
}

// isContinued reports whether a SIGCONT to the front, which knew of so many stops, is no news for
// the command: a shell continues the whole group, and a second SIGCONT would undo the command's
// next stop.
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
	if wait(unix.P_PID, uintptr(facts.Command), changes) == int(facts.Command) { // what has become of it by now
		if childChange.code != codeContinued {
			return true
		}
		stopped = false
	}
	return first && !stopped
}

// prepareStop has a stop signal wait for this process before the keeper looks whether the command
// is stopped still. A SIGCONT discards a stop signal that waits (signal(7)): where a shell
// continues the job between the look and the stop, this process does not stop.
//
//go:nosplit
func prepareStop() {
	if run.stoppedBy != 0 {
		run.ready, run.spare = true, waitingStop()
		kill(facts.Front, run.spare)
	}
}

// waitingStop returns the stop signal that waits. SIGSTOP cannot be blocked: SIGTSTP stands for it.
//
//go:nosplit
func waitingStop() int32 {
	switch sig := run.stoppedBy; sig {
	case int32(unix.SIGTTIN), int32(unix.SIGTTOU):
		return sig
	}
	return int32(unix.SIGTSTP)
}

// followStop stops this process as the command was stopped, by the same signal: the caller's shell
// tells them apart, and the kernel stops no orphaned group for the terminal.
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

var waiting uint64

// letThrough has this process receive a signal that waits; it may have been ignored.
//
//go:nosplit
func letThrough(sig int32) {
	sys4(unix.SYS_RT_SIGACTION, uintptr(sig), addr(&defaultAction), 0, 8)
	unblocked = everySignal &^ (1 << (uint32(sig-1) & 63))
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, addr(&unblocked), 0, 8)
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, addr(&allSignals), 0, 8)
}

var unblocked uint64
