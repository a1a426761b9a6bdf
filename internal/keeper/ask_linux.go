//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// checkSupervisor asks a supervisor from time to time whether it lives, and kills one that stays
// silent: see silencePause. It also acts on the latest time.
//
//go:nosplit
func checkSupervisor() {
	if isDue(due.latest) && heart.since == 0 {
		due.latest = 0
		beLate()
	}
	if supervisor.pid == 0 || !isDue(due.supervisor) {
		return
	}
	if !supervisor.spoke || supervisor.asked {
		kill(supervisor.pid, int32(unix.SIGCONT)) // a SIGSTOP may be why it is silent
		supervisor.silent++
		if supervisor.silent >= mostSilence {
			kill(supervisor.pid, int32(unix.SIGKILL))
			due.supervisor = now() + silencePause
			if supervisor.silent > mostSilence+deathPauses { // SIGKILL has not ended it
				abandoned++
				supervisorEnded()
			}
			return
		}
	}
	if supervisor.spoke { // once more where it was asked: the socket may have been full then
		packet.message = Message{}
		send(supervisor.socket, KindAsk, -1)
		supervisor.asked = true
	}
	due.supervisor = now() + silencePause
}

// noteAnswer takes any message for a sign of life, and sets when the next KindAsk is due.
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

// supervisorChanged acts on what waitid(2) has said of the supervisor, when it returned r. A
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

// isCalm reports whether the command runs and nothing is being ended. Then a supervisor that has
// answered is not asked again before the deadline, and finite does not wake up.
//
//go:nosplit
func isCalm() bool {
	return facts.Begun() && !isEnding() && facts.Dead == 0
}

// isEnding reports whether something is being ended. A signal that was passed on does not count.
//
//go:nosplit
func isEnding() bool {
	return facts.Ended.Code != 0 || facts.KilledAt != 0 || facts.DeadlineAt != 0 || facts.LifelineAt != 0
}
