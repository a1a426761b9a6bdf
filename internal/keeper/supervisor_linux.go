//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// supervisor is the Go process that decides, while there is one.
var supervisor = supervisorState{socket: -1}

type supervisorState struct {
	pid      int32
	socket   int32 // the keeper's end
	spoke    bool  // it runs
	asked    bool  // and owes an answer
	silent   int32 // how many pauses it has been silent for
	since    int64 // when it was started
	remain   bool  // it was told that others are left
	empty    bool  // it was told that nobody is
	ended    bool  // it has said how the run ends
	status   int32
	left     bool // and that somebody is left
	failures int32
	knows    struct{ started, ended, frontGone bool } // from its fork, or by a message that was sent
}

// A supervisor has 2 s to speak, and to answer. They are counted in pauses of the keeper's own: in
// a container that was frozen meanwhile, they have not passed.
const (
	silencePause = 100 * millisecond
	mostSilence  = 20
	askPause     = second
	mostFailures = 3
	longLife     = 10 * second // a supervisor that lived so long has made progress
)

// attachment is what a supervisor finds.
type attachment struct {
	socket int32 // -1: this process is none
	stderr int32 // where descriptor 2 is meanwhile
}

// overseeEnd sees whether the run is over, and starts a supervisor where there is something to
// decide. It returns true in that.
//
//go:nosplit
func overseeEnd() bool {
	if ending.wanted {
		return false
	}
	if supervisor.ended && supervisor.pid == 0 {
		if supervisor.left || facts.Command == 0 || isOver() {
			end(supervisor.status)
			return false
		}
		supervisor.ended = false // somebody came after its last look, or it could not go on
		supervisor.failures++
	}
	if facts.Ended.Code != 0 && tree.empty && !supervisor.spoke {
		stopSupervisor()
		if isOver() {
			end(ownStatus())
			return false
		}
	}
	if heart.since != 0 {
		endByHeart()
		return false
	}
	if heart.calm && facts.Command == 0 {
		startLine()
		put("the command could not be started")
		say()
		end(statusFailure)
		return false
	}
	if supervisor.pid != 0 {
		tellWhatIsLeft()
		return false
	}
	ended := facts.Ended.Code != 0 && (tree.others || tree.empty) && due.settle == 0 // and somebody is left
	always := !facts.Plain && !heart.calm
	if ended || always || facts.Dead != 0 || isDue(due.stuck) {
		due.stuck = 0
		return startSupervisor()
	}
	return false
}

// isOver is the last look: nobody is left. As PID 1 there may be processes that are nobody's
// children here.
//
//go:nosplit
func isOver() bool {
	reapHelpers()
	return wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == errNoChild &&
		(facts.Front != 0 || kill(-1, 0) == errNoProcess)
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

// startSupervisor forks a supervisor. It returns true in that.
//
//go:nosplit
func startSupervisor() bool {
	if supervisor.failures >= mostFailures {
		goByHeart()
		return false
	}
	if facts.Front == 0 && facts.Ended.Code != 0 {
		dropLater() // a reader that is left sees the end of its input
	}
	r := makePair()
	if r >= 0 {
		facts.Starts++
		facts.Ordinary = false
		if r = fork(0); isRefused(r) {
			facts.Ordinary = true
			r = fork(uintptr(unix.SIGCHLD))
		}
		if r == 0 {
			becomeSupervisor()
			return true
		}
		closeFD(ends[1])
	}
	if r < 0 {
		closeFD(ends[0])
		heart.errno = r
		goByHeart()
		return false
	}
	supervisor.pid, supervisor.socket, supervisor.since = int32(r), ends[0], now()
	supervisor.spoke, supervisor.asked, supervisor.silent = false, false, 0
	supervisor.remain, supervisor.empty, supervisor.ended, supervisor.left = false, false, false, false
	supervisor.knows.started = facts.Command != 0
	supervisor.knows.ended, supervisor.knows.frontGone = facts.Ended.Code != 0, facts.FrontGone
	due.supervisor = now() + silencePause
	return false
}

// catchUp tells a supervisor that listens what has happened since its fork, in order. What there
// was no room for is told in the next turn.
//
//go:nosplit
func catchUp() {
	if !supervisor.spoke {
		return
	}
	if command.told && !supervisor.knows.started {
		packet.message = Message{}
		packet.message.Value = facts.Command
		if command.cgroup >= 0 {
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
		packet.message.Change = facts.Ended
		supervisor.knows.ended = send(supervisor.socket, KindExited, -1)
	}
	if facts.FrontGone && !supervisor.knows.frontGone {
		packet.message = Message{}
		supervisor.knows.frontGone = send(supervisor.socket, KindFrontGone, -1)
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

// becomeSupervisor prepares a fork for the Go runtime. Its standard error is elsewhere until main:
// a runtime that cannot start says nothing of its own.
//
//go:nosplit
func becomeSupervisor() {
	attached.socket = ends[1]
	protect()
	closeFD(ends[0])
	closeFD(childFD)
	closeFD(signalFD)
	closeFD(toFront)
	if facts.Directory >= 0 {
		sys1(unix.SYS_FCHDIR, uintptr(facts.Directory))
		closeFD(facts.Directory)
	}
	sys2(unix.SYS_PRCTL, unix.PR_SET_NAME, text("supervisor\x00"))
	attached.stderr = int32(sys3(unix.SYS_FCNTL, 2, unix.F_DUPFD_CLOEXEC, 3))
	silence()
}

// tellSupervisor sends packet.message to a supervisor that runs. One that does not read holds
// nothing up: what it has missed the facts have. It returns false where the message was not sent.
//
//go:nosplit
func tellSupervisor(kind Kind) bool {
	if !supervisor.spoke {
		return false
	}
	if due.supervisor == 0 {
		due.supervisor = now() + askPause // whether it has heard
	}
	return send(supervisor.socket, kind, -1)
}

// isCalm reports whether the command runs, and nothing is being ended: a supervisor that has
// answered is not asked again then, and nothing wakes up.
//
//go:nosplit
func isCalm() bool {
	return facts.Command != 0 && facts.Ended.Code == 0 && facts.KilledAt == 0 && facts.DeadlineAt == 0 && facts.LifelineAt == 0 && facts.Dead == 0
}

// tellWhatIsLeft tells a supervisor once that others are left, and that nobody is.
//
//go:nosplit
func tellWhatIsLeft() {
	catchUp()
	if !supervisor.spoke || !supervisor.knows.ended {
		return
	}
	packet.message = Message{}
	if tree.others && !supervisor.remain {
		supervisor.remain = send(supervisor.socket, KindRemaining, -1)
		if facts.Front == 0 {
			dropLater() // a reader that is left sees the end of its input
		}
	}
	if tree.empty && !supervisor.empty {
		supervisor.empty = send(supervisor.socket, KindEmpty, -1)
	}
	if tree.others {
		supervisor.empty = false
	}
}

// hearSupervisor takes what the supervisor says.
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
		supervisor.silent = 0
		if supervisor.asked {
			supervisor.asked, due.supervisor = false, 0
			if !isCalm() {
				due.supervisor = now() + askPause
			}
		}
		m := &packet.message
		switch m.Kind {
		case KindStart:
			if facts.Command == 0 {
				facts.Timeout, facts.Grace = m.Times[0], m.Times[1]
			}
			startFor(m.Value, m.Count, packet.passed.fd)
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
			killing = m.Value == int32(unix.SIGKILL)
			signalEverything(m.Value)
		case KindHold:
			hold.wanted = true
		case KindRelease:
			hold.until = 0
		case KindLook:
			supervisor.empty = false
		case KindEnd:
			supervisor.ended, supervisor.status, supervisor.left = true, m.Value, m.Count != 0
		}
	}
	if !facts.Ordinary && wait(unix.P_PID, uintptr(supervisor.pid), unix.WEXITED|unix.WNOHANG|unix.WALL) != 0 {
		supervisorEnded()
	}
}

// supervisorEnded is a supervisor's end, whatever it has said.
//
//go:nosplit
func supervisorEnded() {
	for { // its last words
		ok, _ := receive(supervisor.socket)
		if !ok {
			break
		}
		if packet.message.Kind == KindEnd {
			supervisor.ended, supervisor.status, supervisor.left = true, packet.message.Value, packet.message.Count != 0
		}
	}
	closeFD(supervisor.socket)
	supervisor.pid, supervisor.socket, supervisor.spoke = 0, -1, false
	due.supervisor, hold.until, hold.wanted = 0, 0, false
	if !supervisor.ended {
		if now()-supervisor.since > longLife {
			supervisor.failures = 0
		}
		supervisor.failures++
	}
}

// stopSupervisor ends a supervisor that is not needed any more. One that cannot be killed at once
// is left to itself.
//
//go:nosplit
func stopSupervisor() {
	if supervisor.pid == 0 {
		return
	}
	kill(supervisor.pid, int32(unix.SIGKILL))
	for until := now() + second; now() < until; {
		if wait(unix.P_PID, uintptr(supervisor.pid), unix.WEXITED|unix.WNOHANG|unix.WALL) != 0 {
			break
		}
		shortTime = [2]int64{0, millisecond / 10}
		sys4(unix.SYS_PPOLL, 0, 0, addr(&shortTime), 0)
	}
	closeFD(supervisor.socket)
	supervisor.pid, supervisor.socket, supervisor.spoke = 0, -1, false
	due.supervisor = 0
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
			due.supervisor = now() + askPause
			if supervisor.silent > 2*mostSilence { // not even that ends it
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
	default:
		goByHeart()
	}
}

// setLatest takes the latest time that a supervisor announces: in so many milliseconds, 0 for
// never.
//
//go:nosplit
func setLatest(milliseconds, status, early int32) {
	due.latest, facts.LateStatus, heart.asked = 0, status, false
	if milliseconds > 0 {
		due.latest = now() + int64(milliseconds)*millisecond
		keepGoing(due.latest)
	}
	if toFront >= 0 {
		packet.message = Message{}
		packet.message.Value, packet.message.Count, packet.message.Killed = status, milliseconds, early
		send(toFront, kindUntil, -1)
	}
}

// startFor starts the command that a supervisor names, once.
//
//go:nosplit
func startFor(index, flags, cgroup int32) {
	if facts.Command != 0 || index < 1 || int(index) >= plain.count {
		closeFD(cgroup)
		return
	}
	plain.argv = plain.start + uintptr(index)*8
	closeFD(command.cgroup)
	command.cgroup, command.moves = cgroup, flags&StartMove != 0
	command.quiet, command.ran, command.told, command.why = true, false, false, NotExecuted
	if flags&StartEnforce != 0 {
		protect()
	}
	command.wanted, command.grouped = true, flags&StartGroup != 0
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
	if facts.Command == 0 {
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
			isHelper(childChange.pid)
		}
	}
	if facts.OlderCount > 0 && facts.Ended.Code != 0 && !signalEverything(0) {
		end(ownStatus()) // only the older ones are left
		return
	}
	heart.pause = min(heart.pause*2+millisecond, 100*millisecond)
	due.heart = now() + heart.pause
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
}

// finish ends the keeper.
//
//go:nosplit
func finish() {
	status := ending.status
	stopSupervisor()
	if facts.Ended.Code == codeExited {
		returnTerminal(false)
	} else {
		returnTerminal(true)
	}
	awaitHelpers()
	if toFront >= 0 {
		by := int32(0)
		if facts.Ended.Code != 0 && facts.Ended.Code != codeExited && facts.DeadlineAt == 0 {
			by = facts.Ended.Status
		}
		tell(toFront, kindStatus, status, by)
		kill(facts.Front, int32(unix.SIGCONT))
	}
	exit(status)
}
