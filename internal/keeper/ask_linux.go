//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// catchUp tells a supervisor that listens what has happened since its fork, in order. What there
// was no room for is told in the next turn.
//
//go:nosplit
func catchUp() {
	if !supervisor.spoke || endedQuietly() {
		return
	}
	if command.told && !supervisor.knows.started {
		packet.message = Message{}
		packet.message.Value = facts.Command
		if facts.Cgroup >= 0 {
			packet.message.Count = StartedInCgroup
		}
		if !facts.Group {
			packet.message.Count |= StartedInGroup
		}
		supervisor.knows.started = send(supervisor.socket, KindStarted, facts.Pidfd) || send(supervisor.socket, KindStarted, -1)
		if !supervisor.knows.started {
			return
		}
	}
	if facts.Ended.Code != 0 && !supervisor.knows.ended {
		packet.message = Message{}
		packet.message.Change, packet.message.Signal.Name = facts.Ended, lastEnd.name
		packet.message.Times[0] = lastEnd.born
		supervisor.knows.ended = tellSupervisor(KindExited)
	}
	if facts.FrontGone && !supervisor.knows.frontGone {
		packet.message = Message{}
		supervisor.knows.frontGone = tellSupervisor(KindFrontGone)
	}
}

// keepDirectory keeps the working directory, which a supervisor has paths from, before this process
// leaves it.
//
//go:nosplit
func keepDirectory() {
	if facts.Directory < 0 && facts.Command == 0 {
		facts.Directory = high(sys4(unix.SYS_OPENAT, atWorkingDirectory, text(".\x00"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
	}
}

// tellSupervisor sends packet.message to a supervisor that runs. One that does not read holds
// nothing up: what it has missed the facts have. It returns false where the message was not sent.
//
//go:nosplit
func tellSupervisor(kind Kind) bool {
	if !supervisor.spoke {
		return false
	}
	due.supervisor = earlier(due.supervisor, now()+askPause) // whether it has heard
	return send(supervisor.socket, kind, -1)
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

// tellWhatIsLeft tells a supervisor once that others are left, and that nobody is.
//
//go:nosplit
func tellWhatIsLeft() {
	catchUp()
	if !supervisor.spoke || !supervisor.knows.ended && !facts.Paused {
		return
	}
	packet.message = Message{}
	if tree.others && !supervisor.remain {
		supervisor.remain = tellSupervisor(KindRemaining)
		if facts.Front == 0 {
			dropAtEnd() // a reader that is left sees the end of its input
		}
	}
	if tree.empty && !supervisor.empty {
		supervisor.empty = tellSupervisor(KindEmpty)
	}
	if tree.others {
		supervisor.empty = false
	}
}

// hearSupervisor takes what the supervisor says, and looks whether it has ended or was stopped.
//
//go:nosplit
func hearSupervisor() {
	if supervisor.pid == 0 {
		return
	}
	for range messagesAtOnce {
		ok, _ := receive(supervisor.socket)
		if !ok {
			break
		}
		noteAnswer()
		noteMessage()
		obeySupervisor()
	}
	if !facts.Ordinary {
		supervisorChanged(wait(unix.P_PID, uintptr(supervisor.pid), unix.WEXITED|unix.WSTOPPED|unix.WNOHANG|unix.WALL))
	}
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

// obeySupervisor does what packet.message, which a supervisor has sent, asks for.
//
//go:nosplit
func obeySupervisor() {
	m := &packet.message
	switch m.Kind {
	case KindStart:
		if facts.Command == 0 {
			facts.Timeout, facts.Grace = m.Times[0], m.Times[1]
		}
		startNamed(m.Value, m.Count, packet.passed.fd)
	case KindDrop:
		if m.Value >= 0 {
			dropVariable(int(m.Value))
		}
	case KindRules:
		takeRules(m)
	case KindLatest:
		setLatest(m.Count, m.Value, m.Killed)
	case KindKeep:
		keepDescriptor(m.Value, m.Count != 0)
	case KindKeepDirectory:
		keepDirectory()
	case KindFact:
		noteFact(m.Value)
	case KindHello:
		supervisor.spoke = true
		catchUp()
	case KindLeftovers:
		facts.LeftoversAt = now()
	case KindByHeart:
		killingByHeart = m.Value == int32(unix.SIGKILL)
		signalEverything(m.Value)
	case KindHold:
		hold.wanted = true
	case KindRelease:
		hold.until = 0
	case KindLook:
		supervisor.empty = false
		if facts.Paused {
			supervisor.remain = false
		}
	case KindPause:
		rules.eachChild = m.Count != 0
		beginPause()
	case KindEnd:
		supervisor.verdict, supervisor.status, supervisor.left = true, m.Value, m.Count != 0
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

// setLatest takes the latest time that a supervisor announces: in so many milliseconds, 0 for
// never.
//
//go:nosplit
func setLatest(milliseconds, status, inTime int32) {
	due.latest, facts.LateStatus, heart.asked = 0, status, false
	if milliseconds > 0 {
		due.latest = now() + int64(milliseconds)*millisecond
		at := earlier(due.latest, deadlineAhead())
		if isEnding() || facts.Stop.Number != 0 { // the steps before that are the supervisor's, which this process continues
			at = now()
		}
		keepGoing(at)
	}
	if toFront >= 0 {
		packet.message = Message{}
		packet.message.Value, packet.message.Count, packet.message.Killed = status, milliseconds, inTime
		send(toFront, kindUntil, -1)
	}
}

// startNamed starts the command that a supervisor names, once.
//
//go:nosplit
func startNamed(index, flags, cgroup int32) {
	if facts.Command != 0 || index < 1 || int(index) >= plain.count {
		closeFD(cgroup)
		return
	}
	plain.argv = plain.start + uintptr(index)*8
	if command.moves = flags&StartMove != 0; !command.moves {
		closeFD(facts.Cgroup)
		facts.Cgroup = cgroup
	}
	command.quiet, command.ran, command.told, command.why = true, false, false, NotExecuted
	if flags&StartEnforce != 0 {
		protect()
	}
	command.wanted, command.grouped = true, flags&StartGroup != 0
	rules.eachChild = flags&StartTellChildren != 0
	supervisor.quiet = flags&StartQuiet != 0
}

// beginPause does without a command.
//
//go:nosplit
func beginPause() {
	if facts.Command != 0 || facts.Paused {
		return
	}
	facts.Paused, facts.Started = true, now()
	protect()
	if facts.Front != 0 {
		packet.message = Message{Value: facts.Keeper}
		send(toFront, kindStarted, -1)
	}
	packet.message = Message{} // all is for the supervisor to decide
	takeRules(&packet.message)
	command.settled = true
}

// takeRules takes what signals are to be passed on as, and tells the front.
//
//go:nosplit
func takeRules(m *Message) {
	rules.given, rules.group, rules.tellAll, rules.table = true, m.Count != 0, m.Value != 0, m.Table
	if toFront >= 0 {
		send(toFront, kindRules, -1)
	}
}

// noteFact writes down what a supervisor is about to do.
//
//go:nosplit
func noteFact(what int32) {
	switch what {
	case FactDeadline:
		facts.DeadlineAt = now()
	case FactLifeline:
		facts.LifelineAt = now()
	case FactKilled:
		facts.KilledAt = earlier(facts.KilledAt, now())
	case FactRung:
		if facts.RungCount < maxRungs {
			*(*int64)(pointer(addr(&facts.Rungs) + uintptr(facts.RungCount)*8)) = now()
			facts.RungCount++
		}
	}
}
