//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Exit statuses of a command that could not be run, as env(1) and the shells have them.
const (
	statusFailure       = 125
	statusNotExecutable = 126
	statusNotFound      = 127
	statusDeadline      = 124
)

// overseeEnd sees whether the run is over, and starts a supervisor where there is something to
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

// endAsTold ends the keeper as a supervisor has said before its own end, unless somebody is left
// that this supervisor has not counted.
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
	supervisor.verdict = false // somebody came after its last look, or it could not go on
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
	supervisor.quiet = false // another one sees to what is left, or to what this one has decided
	return false
}

// endWithoutWord ends the keeper where the command has ended, nobody is left, no supervisor runs
// yet, and there is nothing to say of the end.
//
//go:nosplit
func endWithoutWord() bool {
	if facts.Ended.Code == 0 || !tree.empty || supervisor.spoke {
		return false
	}
	if (!facts.Plain || facts.WasKilled()) && !heart.calm && heart.since == 0 {
		return false // there may be something to say
	}
	killSupervisor()
	if !isOver() {
		return false
	}
	end(ownStatus())
	return true
}

// endInCalm ends a run that no supervisor oversees, where there is no command to wait for. It
// returns false while there is one.
//
//go:nosplit
func endInCalm() bool {
	switch {
	case facts.Paused:
		if facts.Stop.Number != 0 { // the pause is over
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

// needsSupervisor reports whether there is something to decide: the command has ended and somebody
// is left, the command cannot be waited for or does not die, or the arguments are not plain.
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

// QuietTime is how long after its start an end of the command can be quiet: until then a supervisor
// watches nothing that it could know more by than the keeper.
const QuietTime = 10 * millisecond

// endedQuietly reports whether a supervisor need not be asked about the end: the command has soon
// exited by itself, nobody is left, no signal has come, and nothing was decided.
//
//go:nosplit
func endedQuietly() bool {
	return supervisor.quiet && tree.empty && facts.Ended.Code == codeExited && facts.EndedAt-facts.Started < QuietTime &&
		facts.Stop.Number == 0 && facts.Forwarded == 0 && facts.Undelivered == 0 &&
		facts.DeadlineAt == 0 && facts.KilledAt == 0 && facts.Dead == 0 && !facts.FrontGone
}

// isOver is the last look: nobody is left. As PID 1 there may be processes that are nobody's
// children here.
//
//go:nosplit
func isOver() bool {
	reapHelpers()
	return wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == errNoChild &&
		(!facts.Init || kill(-1, 0) == errNoProcess)
}

// ownStatus is the exit status by the facts.
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

var ending struct {
	wanted bool
	status int32
	orphan int32 // a supervisor that was killed, and is left to the front; 0: there is none
}

// finish ends the keeper.
//
//go:nosplit
func finish() {
	status := ending.status
	killSupervisor()
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
		send(toFront, kindStatus, -1)
		wakeFront()
	}
	exit(status)
}
