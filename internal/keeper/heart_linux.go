//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// beLate acts on the latest time. A supervisor is asked first: it may have announced another time,
// and the clock of a container that was frozen went on. The next time SIGKILL goes to every
// process, and after that everything is ended by heart.
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
			signalEverything(int32(unix.SIGKILL)) // one of them may keep the supervisor from acting
		}
	default:
		goByHeart()
	}
}

// heart is the ending by heart: without a supervisor, by fixed rules.
var heart struct {
	errno  int   // why no supervisor could be made; 0: supervisors were made, and died
	calm   bool  // nothing is to be ended: without a supervisor, signals go on under their own numbers
	asked  bool  // the latest time has come, and a supervisor was asked
	since  int64 // when the ending began; 0: it has not
	kill   int64 // when SIGKILL is sent
	giveUp int64 // when the keeper ends though processes are left
	pause  int64 // between two rounds
}

// goByHeart has the keeper go on by heart, and says so. It ends the tree, or is calm where nothing
// is to be ended.
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
		left := (heart.giveUp - heart.since + latestMargin) / millisecond
		tell(toFront, kindUntil, ownStatus(), int32(min(left, 1<<31-1)))
	}
}

// passAll has every signal passed on under its own number.
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

// endByHeart is one round of the ending by heart.
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
		end(ownStatus()) // only older children are left
		return
	}
	heart.pause = min(heart.pause*2+millisecond, 100*millisecond)
	due.heart = now() + heart.pause
}
