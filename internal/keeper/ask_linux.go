//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// checkSupervisor asks a supervisor now and then, and takes silence for its death. It returns true
// in a new one.
//
//go:nosplit
func checkSupervisor() bool {
	if isDue(due.latest) && heart.since == 0 {
		due.latest = 0
		beLate()
	}
	if supervisor.pid == 0 || !isDue(due.supervisor) {
		return false
	}
	if !supervisor.spoke || supervisor.asked {
		kill(supervisor.pid, int32(unix.SIGCONT)) // somebody may have stopped it
		supervisor.silent++
		if supervisor.silent >= mostSilence {
			kill(supervisor.pid, int32(unix.SIGKILL))
			due.supervisor = now() + silencePause
			if supervisor.silent > mostSilence+deathPauses { // not even that ends it
				abandoned++
				supervisorEnded()
			}
			return false
		}
	}
	if supervisor.spoke { // again where it was asked before: there may have been no room for that
		packet.message = Message{}
		send(supervisor.socket, KindAsk, -1)
		supervisor.asked = true
	}
	due.supervisor = now() + silencePause
	return false
}

// noteAnswer takes any message for a sign of life. It puts off the next KindAsk.
//
//go:nosplit
func noteAnswer() {
	supervisor.silent = 0
	if !supervisor.asked {
		return
	}
	supervisor.asked, due.supervisor = false, deadlineAhead()
	if !isCalm() {
		due.supervisor = now() + askPause
	}
}

// supervisorChanged deals with what waitid(2) has said of the supervisor, when it returned r. A
// stopped supervisor is continued at once.
//
//go:nosplit
func supervisorChanged(r int) {
	switch {
	case r == 0:
	case r > 0 && childChange.code == codeStopped:
		kill(supervisor.pid, int32(unix.SIGCONT))
	case r < 0 || childChange.code <= codeDumped:
		supervisorEnded()
	}
}

// isCalm reports whether the command runs, and nothing is being ended: a supervisor that has
// answered is not asked again then before the deadline, and nothing wakes up.
//
//go:nosplit
func isCalm() bool {
	return (facts.Command != 0 || facts.Paused) && !isEnding() && facts.Dead == 0
}

// isEnding reports whether something is being ended, other than by a signal that was passed on.
//
//go:nosplit
func isEnding() bool {
	return facts.Ended.Code != 0 || facts.KilledAt != 0 || facts.DeadlineAt != 0 || facts.LifelineAt != 0
}
