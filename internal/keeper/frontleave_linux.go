//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// leave ends the front with the status that the keeper has told. The keeper is reaped first, so
// that the caller sees the times of the command (wait4(2)). Where the terminal's SIGINT or SIGQUIT
// has ended the command, the front dies of it too, so that the caller's script stops as it does
// without finite.
//
//go:nosplit
func leave() {
	awaitHelpers()
	if planAt != 0 && thePlan().Forks && !run.built && thePlan().Keeper > 0 {
		// A front that was stopped until now has not reaped what has cloned the keeper.
		awaitChild(run.keeper, childTime)
		run.keeper, run.built = thePlan().Keeper, true
	}
	if run.keeper != 0 {
		kill(run.keeper, int32(unix.SIGKILL)) // it has nothing left to do, and may be stopped
		patience := int64(childTime)
		if run.alone {
			patience = lonelyTime
		}
		awaitChild(run.keeper, patience)
	}
	if run.orphan != 0 {
		awaitChild(run.orphan, childTime)
	}
	endPlanner(0)
	takeForeground()
	byKey := run.diedOf == int32(unix.SIGINT) || run.diedOf == int32(unix.SIGQUIT)
	if byKey && run.onTerminal && !inSet(run.passed, run.diedOf) {
		noCore = [2]uint64{}
		sys4(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, addr(&noCore), 0)
		kill(facts.Front, run.diedOf)
		letThrough(run.diedOf)
	}
	exit(run.status)
}

// noCore is the limit of core dumps of the front (struct rlimit).
var noCore [2]uint64

// awaitChild reaps a child that was killed or is about to end. As PID 1 of a namespace the keeper
// ends when the kernel has killed every process there, which can take for ever. A keeper that is
// alone there ends as soon as it gets a processor.
//
//go:nosplit
func awaitChild(pid int32, patience int64) {
	const ended = unix.WEXITED | unix.WNOHANG | unix.WALL
	until := now() + patience
	// The last look comes after the last time: this process may have been stopped in between.
	for t := int64(0); wait(unix.P_PID, uintptr(pid), ended) == 0 && t < until; t = now() {
		poll.fds = [6]unix.PollFd{{Fd: childFD, Events: unix.POLLIN}}
		poll.limit = [2]int64{0, 100 * millisecond}
		awaitPoll(1, addr(&poll.limit))
		sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128)
	}
}

// Times that the front waits for a child that was killed or is about to end.
const (
	childTime      = second      // for any child
	lonelyTime     = 10 * second // for a keeper that is alone
	keeperPatience = 2 * second  // for a keeper that should have ended
)

// keeperDied reports whether the keeper has ended, or should have, without telling how the run
// ends.
//
//go:nosplit
func keeperDied() bool {
	if isDue(run.latest) {
		run.latest, run.late, run.patience = 0, true, now()+keeperPatience
		kill(run.keeper, int32(unix.SIGKILL))
	}
	if isDue(run.patience) { // a PID 1 that waits for processes of other trees
		return true
	}
	r := wait(unix.P_PID, uintptr(run.keeper), unix.WEXITED|unix.WSTOPPED|unix.WNOHANG)
	switch {
	case r == int(run.keeper) && childChange.code == codeStopped: // it has nothing to stop for
		kill(run.keeper, int32(unix.SIGCONT))
		return false
	case r == int(run.keeper):
		return !keeperBuilt()
	}
	return r == errNoChild
}

// takeOver ends the run in the place of a keeper that has died.
//
//go:nosplit
func takeOver() {
	run.keeper = 0
	hearKeeper() // what the keeper sent before it died
	if run.told {
		leave()
	}
	if sayWhyNot() {
		endPlanner(1)
		exit(statusFailure)
	}
	run.drop = min(run.drop, 1) // at once, if it was still to come
	dropWhenDue()
	startLine()
	if planAt != 0 && thePlan().Joined && !run.inCgroup {
		put("the keeper was killed: SIGKILL to the command; " +
			"what else it left in the PID namespace that was joined is out of reach")
	} else {
		put("the keeper was killed: SIGKILL to everything that is left")
	}
	say()
	if run.pidfd >= 0 {
		sendByPidfd(run.pidfd, int32(unix.SIGKILL))
	}
	if !endEverything(giveUpTime) {
		startLine()
		put("gave up: somebody cannot be ended, or is held by another process")
		say()
	}
	awaitHelpers()
	endPlanner(1)
	takeForeground()
	if run.inTime && !run.late {
		exit(statusFailure)
	}
	exit(run.lateStatus)
}
