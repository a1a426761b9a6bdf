//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hearSupervisor takes the messages of the supervisor, and looks whether it has ended or was
// stopped.
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
		const changes = unix.WEXITED | unix.WSTOPPED
		supervisorChanged(wait(unix.P_PID, uintptr(supervisor.pid), changes|unix.WNOHANG|unix.WALL))
	}
}

// obeySupervisor does what packet.message asks for. A supervisor has sent it.
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
		dropVariable(int(m.Value))
	case KindRules:
		takeRules(m)
	case KindLatest:
		setLatest(m.Count, m.Value, m.Killed)
	case KindKeep:
		keepDescriptor(m.Value, m.Count != 0)
	case KindKeepDirectory:
		keepDirectory()
	case KindHello:
		supervisor.spoke = true
		catchUp()
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

// noteMessage notes what counts in packet.message even if the supervisor that sent it has ended
// since: what it was about to do, that the end of the command is not quiet, and where a record is.
//
//go:nosplit
func noteMessage() {
	m := &packet.message
	switch m.Kind {
	case KindFact, KindLeftovers, KindByHeart, KindHold:
		supervisor.quiet = false
		switch m.Kind {
		case KindFact:
			noteFact(m.Value, &m.Signal)
		case KindLeftovers:
			facts.LeftoversAt = earlier(facts.LeftoversAt, now())
		}
	case KindRecord:
		if m.Value >= 0 && m.Value < MaxRecords {
			*(*Place)(pointer(addr(&facts.Records) + uintptr(m.Value)*unsafe.Sizeof(Place{}))) = m.Place
		}
	}
}

// startNamed starts the command that a supervisor names. A second one is ignored.
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

// beginPause has the keeper run without a command.
//
//go:nosplit
func beginPause() {
	if facts.Begun() {
		return
	}
	facts.Paused, facts.Started = true, now()
	protect()
	if facts.Front != 0 {
		packet.message = Message{Value: facts.Keeper}
		send(toFront, kindStarted, -1)
	}
	packet.message = Message{} // no rules: the supervisor decides about each signal
	takeRules(&packet.message)
	command.settled = true
}

// setLatest sets the latest time to so many milliseconds from now, 0 for never, as a supervisor
// announces it. It tells the front.
//
//go:nosplit
func setLatest(milliseconds, status, inTime int32) {
	due.latest, facts.LateStatus, heart.asked = 0, status, false
	if milliseconds > 0 {
		due.latest = now() + int64(milliseconds)*millisecond
		at := earlier(due.latest, deadlineAhead())
		if isEnding() || facts.Stop.Number != 0 { // the supervisor's next step needs a keeper that runs
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

// noteFact notes what a supervisor is about to do.
//
//go:nosplit
func noteFact(what int32, s *Signal) {
	at := now()
	if facts.Ended.Code == 0 { // the command may have ended of it: reap has seen that already
		at = earlier(at, lastEnd.at)
	}
	switch what {
	case FactDeadline:
		facts.DeadlineAt = earlier(facts.DeadlineAt, at)
	case FactLifeline:
		facts.LifelineAt = earlier(facts.LifelineAt, at)
	case FactStop:
		if facts.Stop.Number != s.Number { // else the keeper has seen it first
			facts.Stop, facts.StopAt = *s, at
		}
	case FactKilled:
		facts.KilledAt = earlier(facts.KilledAt, at)
	case FactRung:
		if facts.RungCount < maxRungs {
			*(*int64)(pointer(addr(&facts.Rungs) + uintptr(facts.RungCount)*8)) = at
			facts.RungCount++
		}
	}
}

// keepDirectory opens the working directory before this process leaves it. Supervisors have paths
// that are relative to it.
//
//go:nosplit
func keepDirectory() {
	if facts.Directory < 0 && facts.Command == 0 {
		const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
		facts.Directory = high(sys4(unix.SYS_OPENAT, atWorkingDirectory, text(".\x00"), flags, 0))
	}
}
