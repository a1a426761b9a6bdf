//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Exit statuses of finite itself, as timeout(1), env(1) and the shells have them.
const (
	statusDeadline      = 124
	statusFailure       = 125
	statusNotExecutable = 126
	statusNotFound      = 127
)

// overseeEnd looks whether the run is over, and starts a supervisor where there is something to
// decide. It returns true in that supervisor.
//
//go:nosplit
func overseeEnd() bool {
	if ending.wanted || endAsTold() || endQuietly() || endWithoutWord() {
		return false
	}
	if heart.since != 0 {
		endByHeart()
		return false
	}
	if heart.calm && endInCalm() {
		return false
	}
	if supervisor.pid != 0 {
		tellWhatIsLeft()
		return false
	}
	return needsSupervisor() && startSupervisor()
}

// endAsTold ends the keeper with the verdict of a supervisor that has ended, unless that supervisor
// has overlooked a process that is left.
//
//go:nosplit
func endAsTold() bool {
	if !supervisor.verdict || supervisor.pid != 0 {
		return false
	}
	if supervisor.left || facts.Command == 0 || isOver() {
		end(supervisor.status)
		return true
	}
	supervisor.verdict = false // a process came after its last look, or it could not go on
	supervisor.failures++
	return false
}

// endQuietly ends the keeper after a quiet end of the command: see endedQuietly.
//
//go:nosplit
func endQuietly() bool {
	if !endedQuietly() {
		return false
	}
	if leavesSupervisor() && isOver() {
		leaveSupervisor()
		end(ownStatus())
		return true
	}
	killSupervisor()
	if endedQuietly() && isOver() {
		end(ownStatus())
		return true
	}
	supervisor.quiet = false // a supervisor decides about what is left
	return false
}

// endWithoutWord ends the keeper where the command has ended, no process is left, no supervisor
// runs yet, and there is nothing to say of the end.
//
//go:nosplit
func endWithoutWord() bool {
	if facts.Ended.Code == 0 || !tree.empty || supervisor.spoke {
		return false
	}
	if (!facts.Plain || facts.WasKilled()) && !heart.calm && heart.since == 0 {
		return false // a supervisor may have something to say
	}
	killSupervisor()
	if !isOver() {
		return false
	}
	end(ownStatus())
	return true
}

// endInCalm deals with a calm keeper (see heart) that has no command. It returns false where there
// is a command.
//
//go:nosplit
func endInCalm() bool {
	switch {
	case facts.Paused:
		if facts.Stop.Number != 0 { // a stop signal ends the pause
			facts.Ended, facts.EndedAt = Change{Code: codeExited}, now()
			goByHeart()
		}
	case facts.Command == 0:
		startLine()
		put("the command could not be started")
		say()
		end(statusFailure)
	default:
		return false
	}
	return true
}

// needsSupervisor reports whether there is something to decide: the command has ended, or cannot be
// waited for, or has survived SIGKILL, or the arguments are not plain.
//
//go:nosplit
func needsSupervisor() bool {
	ended := facts.Ended.Code != 0 && (tree.others || tree.empty) && due.settle == 0
	always := !facts.Plain && !heart.calm
	if !ended && !always && facts.Dead == 0 && !isDue(due.stuck) {
		return false
	}
	due.stuck = 0
	return true
}

// QuietTime is the time after its start within which the end of the command can be quiet. Until
// then a supervisor watches nothing that the keeper does not know.
const QuietTime = 10 * millisecond

// endedQuietly reports whether the end of the command is quiet, so that no supervisor has to be
// asked: the command has exited within QuietTime, no process is left, no signal has come, and no
// supervisor has decided anything.
//
//go:nosplit
func endedQuietly() bool {
	return supervisor.quiet && tree.empty &&
		facts.Ended.Code == codeExited && facts.EndedAt-facts.Started < QuietTime &&
		facts.Stop.Number == 0 && facts.Forwarded == 0 && facts.Undelivered == 0 &&
		facts.DeadlineAt == 0 && facts.KilledAt == 0 && facts.Dead == 0 && !facts.FrontGone
}

// isOver looks a last time whether a process is left. As PID 1 there may be processes that are not
// children of this one.
//
//go:nosplit
func isOver() bool {
	reapHelpers()
	return wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == errNoChild &&
		(!facts.Init || kill(-1, 0) == errNoProcess)
}

// ownStatus is the exit status that follows from the facts, without a supervisor.
//
//go:nosplit
func ownStatus() int32 {
	switch {
	case facts.DeadlineAt != 0:
		return statusDeadline
	case facts.Ended.Code == codeExited:
		return facts.Ended.Status
	case facts.Ended.Code != 0:
		return 128 + facts.Ended.Status
	}
	return 128 + int32(unix.SIGKILL)
}

// end has the loop end the keeper.
//
//go:nosplit
func end(status int32) {
	if !ending.wanted {
		ending.wanted, ending.status = true, status
	}
}

// ending is how the keeper is about to end.
var ending struct {
	wanted bool
	status int32
	orphan int32 // the PID of a supervisor that was killed and is left to the front to reap; 0: none
}

// finish ends the keeper: it ends the supervisor and the helpers, puts the terminal back, and tells
// the front.
//
//go:nosplit
func finish() {
	status := ending.status
	killSupervisor()
	killOnceMore()
	returnTerminal(facts.Ended.Code != codeExited)
	awaitHelpers()
	awaitAbandoned()
	if toFront >= 0 {
		by := int32(0)
		if facts.Ended.Code != 0 && facts.Ended.Code != codeExited && facts.DeadlineAt == 0 {
			by = facts.Ended.Status
		}
		packet.message = Message{Value: status, Count: by, Killed: ending.orphan}
		if isOver() {
			packet.message.Times[0] = 1
		}
		tellStatus()
	}
	exit(status)
}

// killOnceMore kills what is left after SIGKILL was due. A supervisor may have given up before it
// came to all, or to any: on a machine that is too busy, or in a tree that is too large for its
// time.
//
//go:nosplit
func killOnceMore() {
	if facts.KilledAt == 0 || facts.Init ||
		wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == errNoChild {
		return
	}
	const quiet = 20 // rounds without a death, after which nobody is left, or nobody whom SIGKILL ends
	until := now() + second
	if ordinaryHelpers {
		awaitHelpers() // by their numbers they look like what is left
	}
	own := sys0(unix.SYS_GETPID)
	signalChildren(own+1, own+nearNumbers, int32(unix.SIGKILL)) // more than the list has in one read
	for rounds := 0; rounds < quiet && now() < until && signalEverything(int32(unix.SIGKILL)); rounds++ {
		for wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG) > 0 {
			forgetHelper(childChange.pid)
			rounds = 0
		}
		pause(millisecond)
	}
}

// tellStatus sends the front the message of finish, and wakes the front. The socket of a front that
// was stopped may be full, and the kernel may lack memory: tellStatus tries again for a second.
//
//go:nosplit
func tellStatus() {
	for until := now() + second; ; {
		told := send(toFront, kindStatus, -1)
		wakeFront()
		if told || now() >= until {
			return
		}
		poll.fds[0] = unix.PollFd{Fd: toFront}
		poll.limit = [2]int64{0, millisecond}
		if awaitPoll(1, addr(&poll.limit)) { // the front has ended
			return
		}
	}
}
