//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// beLate is the latest time. A supervisor is asked first: it may have announced another one, and
// the clock of a container that was frozen went on. Then everything is killed, and then everything
// by heart.
//
//go:nosplit
func beLate() {
	switch {
	case supervisor.spoke && !heart.asked:
		heart.asked = true
		packet.message = Message{}
		send(supervisor.socket, KindAsk, -1)
		supervisor.asked = true
		due.latest = now() + mostSilence*silencePause
	case facts.KilledAt == 0:
		heart.asked = false
		if facts.DeadlineAt == 0 && facts.LateStatus == statusDeadline {
			facts.DeadlineAt = now()
		}
		killNow()
		if !facts.NoSubreaper {
			killingByHeart = true
			signalEverything(int32(unix.SIGKILL)) // what keeps the supervisor from it may be one of them
		}
	default:
		goByHeart()
	}
}

// heart is the ending without a supervisor.
var heart struct {
	errno  int  // why no supervisor could be made; 0: they died
	calm   bool // no supervisor runs, and nothing is to be ended: signals are passed on as they are
	asked  bool // the latest time has come, and a supervisor was asked
	since  int64
	kill   int64 // when SIGKILL is sent
	giveUp int64
	pause  int64
}

// goByHeart begins it, and says so.
//
//go:nosplit
func goByHeart() {
	if heart.since != 0 {
		return
	}
	startLine()
	put("the supervisor cannot run")
	if heart.errno != 0 {
		put(" (")
		putError(heart.errno)
		put(")")
	}
	if facts.Command == 0 && !facts.Paused {
		say()
		end(statusFailure)
		return
	}
	if facts.Ended.Code == 0 && facts.KilledAt == 0 && facts.DeadlineAt == 0 && facts.Dead == 0 {
		if !heart.calm {
			put(": signals are passed on as they are")
			say()
			passAll()
			armDeadline()
		}
		return
	}
	heart.since = now()
	heart.kill = heart.since
	if facts.KilledAt == 0 && facts.Grace > 0 {
		heart.kill = after(heart.since, facts.Grace)
		put(": SIGTERM to everything that is left, and SIGKILL in ")
		putDuration(facts.Grace)
		if facts.LeftoversAt == 0 {
			facts.LeftoversAt = heart.since
			signalEverything(int32(unix.SIGTERM))
			signalEverything(int32(unix.SIGCONT))
		}
	} else {
		put(": SIGKILL to everything that is left")
	}
	sayFirst()
	due.heart = heart.since // the first round
	heart.giveUp = after(heart.kill, giveUpTime)
	keepGoing(heart.kill)
	if facts.Front != 0 {
		tell(toFront, kindUntil, ownStatus(), int32(min((heart.giveUp-heart.since+latestMargin)/millisecond, 1<<31-1)))
	}
}

// passAll has every signal passed on as it is.
//
//go:nosplit
func passAll() {
	heart.calm = true
	packet.message = Message{}
	for i := range 64 {
		*(*uint8)(pointer(addr(&packet.message.Table) + uintptr(i))) = uint8(i + 1)
	}
	takeRules(&packet.message)
}

// endByHeart is a round of it.
//
//go:nosplit
func endByHeart() {
	if isDue(heart.giveUp) {
		startLine()
		put("gave up: processes are left")
		say()
		end(ownStatus())
		return
	}
	if now() < heart.kill {
		due.heart = heart.kill
		return
	}
	if facts.KilledAt == 0 {
		facts.KilledAt = now()
	}
	signalCommand(int32(unix.SIGKILL))
	for range heartRounds {
		if !signalEverything(int32(unix.SIGKILL)) {
			break
		}
		for wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG) > 0 {
			if childChange.pid == facts.Command {
				commandChanged()
				noteEnd()
			}
			if childChange.pid == supervisor.pid { // an ordinary child
				supervisorEnded()
			}
			forgetHelper(childChange.pid)
		}
	}
	if facts.OlderCount > 0 && facts.Ended.Code != 0 && !signalEverything(0) {
		end(ownStatus()) // only the older ones are left
		return
	}
	heart.pause = min(heart.pause*2+millisecond, 100*millisecond)
	due.heart = now() + heart.pause
}
