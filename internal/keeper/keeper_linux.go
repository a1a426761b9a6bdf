//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Each turn of the loop takes a bounded number of children, signals and messages, and then looks at
// the clock: a flood of any of them does not keep the deadline away.
const (
	childrenAtOnce = 256
	signalsAtOnce  = 64
	messagesAtOnce = 64
)

// tree is what waitid said last.
var tree struct {
	empty  bool // there is no child
	others bool // there are, and none has changed
}

// keep starts the command and sees it to its end. It returns in a supervisor.
//
//go:nosplit
func keep() {
	if facts.Front == 0 && facts.Timeout > 0 {
		protect() // there is an ending to enforce
	}
	if facts.Front != 0 {
		facts.NoSubreaper = sys2(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1) < 0
	}
	terminal.fd, command.tty = -1, -1
	openChildren()
	if facts.Plain {
		launch(false)
	} else if startSupervisor() {
		return
	}
	for {
		reap()
		hearSupervisor()
		hearFront()
		takeSignals()
		noteEnd()
		if stops.check { // somebody may have continued the command since the front was told that it is stopped
			stops.check = false
			reap()
			stopFront()
		}
		if command.wanted {
			command.wanted = false
			launch(command.grouped)
		}
		if command.settled {
			command.settled = false
			settleDown()
		}
		if keepTime() || overseeEnd() {
			return // a supervisor
		}
		if ending.wanted {
			finish()
		}
		sleep()
	}
}

// protect keeps the command, which may have the same user, from this process's memory and
// descriptors.
//
//go:nosplit
func protect() { sys2(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0) }

// launch starts the command.
//
//go:nosplit
func launch(group bool) {
	chooseGroup(group)
	facts.Started = now()
	if facts.Plain {
		armDeadline() // before the command could stop this process
	}
	pid := startCommand()
	if pid < 0 {
		if facts.Plain {
			startLine()
			put("cannot run ")
			putQuoted(wordAt(plain.argv, 0))
			put(": ")
			putError(pid)
			say()
			end(statusFailure)
			return
		}
		packet.message = Message{Value: int32(-pid), Count: NotCloned}
		tellSupervisor(KindNotStarted)
		facts.Started = 0
		return
	}
	facts.Command = int32(pid)
	if facts.Front != 0 {
		packet.message = Message{Value: facts.Command}
		if !facts.Group {
			packet.message.Count = StartedInGroup
		}
		if command.onTerminal {
			packet.message.Count |= startedOnTerminal
		}
		send(toFront, kindStarted, facts.Pidfd)
	}
	if facts.Plain {
		settleDown()
	}
}

// settleDown leaves what is the caller's, now that the command has it: the session, the working
// directory, and what is open there. As PID 1 the standard descriptors stay, which others use by
// /proc/1/fd.
//
//go:nosplit
func settleDown() {
	sys1(unix.SYS_CHDIR, text("/\x00"))
	if facts.Front != 0 {
		sys0(unix.SYS_SETSID)
	}
	dropInherited()
}

// chooseGroup decides whether the command leads a process group of its own: where that is asked
// for, where finite is PID 1 or a session leader, and where there is no controlling terminal.
// Elsewhere the command stays in the caller's group, as if finite were not there, so that the job
// control of the caller's shell works.
//
//go:nosplit
func chooseGroup(wanted bool) {
	leader := facts.Front == 0 || callerLeads
	findTerminal()
	command.onTerminal = terminal.fd >= 0
	facts.Group = wanted || leader || terminal.fd < 0
	if facts.Group {
		takeTerminal()
	} else {
		closeFD(terminal.fd)
		terminal.fd = -1
	}
	command.group = facts.Group
}

// reap takes what has happened to children.
//
//go:nosplit
func reap() {
	tree.empty, tree.others = false, false
	if hold.until != 0 && now() < hold.until {
		tree.others = true
		return
	}
	hold.until = 0
	sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128) // the SIGCHLD that says so: before the look
	reapHelpers()
	reaped, killed, died := int32(0), int32(0), false
	for range childrenAtOnce {
		pid := wait(unix.P_ALL, 0, unix.WEXITED|unix.WSTOPPED|unix.WCONTINUED|unix.WNOHANG)
		if pid <= 0 {
			tree.empty, tree.others = pid == errNoChild, pid == 0
			break
		}
		switch {
		case pid == int(facts.Command) && facts.Ended.Code == 0:
			commandChanged()
			died = died || lastEnd.change.Code != 0
		case childChange.code > codeDumped: // another child was stopped or continued
		case pid == int(supervisor.pid):
			supervisorEnded()
		case isHelper(int32(pid)):
		default:
			reaped++
			if childChange.code != codeExited && childChange.status == int32(unix.SIGKILL) {
				killed++
			}
		}
	}
	if killing && (died || reaped > 0) {
		signalEverything(int32(unix.SIGKILL)) // the children of who has died are this process's now
	}
	if reaped > 0 {
		facts.Orphans += reaped
		if lastEnd.change.Code != 0 {
			facts.Killed += killed
			facts.Terminated += reaped - killed
		}
		packet.message = Message{Count: reaped, Killed: killed}
		tellSupervisor(KindReaped)
	}
}

// hold keeps children from being reaped, so that a supervisor can signal them by number.
var hold struct {
	until  int64 // 0: they are reaped
	wanted bool
}

const longestHold = second

// Values of si_code of waitid(2).
const (
	codeExited    = 1
	codeDumped    = 3
	codeStopped   = 5
	codeContinued = 6
)

//go:nosplit
func lastChange() Change {
	return Change{
		PID: childChange.pid, UID: childChange.uid, Code: childChange.code, Status: childChange.status,
		User: nanoseconds(&childUsage.Utime), System: nanoseconds(&childUsage.Stime), MaxRSS: childUsage.Maxrss,
	}
}

//go:nosplit
func nanoseconds(t *unix.Timeval) int64 { return t.Sec*second + t.Usec*1000 }

// commandChanged deals with what has happened to the command.
//
//go:nosplit
func commandChanged() {
	switch childChange.code {
	case codeStopped:
		facts.Stopped = true
		if facts.Stop.Number != 0 || facts.DeadlineAt != 0 {
			continueCommand() // it is to act on the stop signal
		}
		stops.number++
		stops.answered = false
		if facts.Front != 0 && !facts.Group {
			stops.signal, stops.again = childChange.status, 0
			tell(toFront, kindStopped, 0, stops.number)
		}
	case codeContinued:
		facts.Stopped = false
		continueFront()
	case codeExited, codeExited + 1, codeDumped:
		facts.Stopped = false
		if !facts.Plain && commandNotStarted() {
			return
		}
		noteStarted()
		lastEnd.change, lastEnd.at = lastChange(), now()
		return
	}
	if !facts.Plain && command.begun[0] >= 0 {
		hearChild() // that it runs comes first
	}
	catchUp()
	packet.message = Message{Change: lastChange()}
	tellSupervisor(KindChanged)
}

// commandNotStarted deals with a child that did not become the command, for a supervisor. A command
// that was killed when it was cloned into its cgroup is started there in another way: if
// cgroup.kill was ever written in this process's own cgroup, Linux (6.18 for one) kills whoever is
// cloned from there into another.
//
//go:nosplit
func commandNotStarted() bool {
	if !command.ran && command.cgroup >= 0 {
		facts.StartError, command.why = int32(unix.ESRCH), NotInCgroup
	} else if command.begun[0] >= 0 {
		hearChild()
	}
	if facts.StartError == 0 {
		return false
	}
	endWatch()
	packet.message = Message{Value: facts.StartError, Count: command.why}
	closeFD(facts.Pidfd)
	facts.Command, facts.Pidfd, facts.StartError, facts.Started = 0, -1, 0, 0
	if supervisor.pid != 0 && supervisor.knows.started {
		kill(supervisor.pid, int32(unix.SIGKILL)) // it goes on with a command that runs: the next one starts it
		return true
	}
	tellSupervisor(KindNotStarted)
	return true
}

// noteStarted has a supervisor told that the command runs: see catchUp.
//
//go:nosplit
func noteStarted() {
	if facts.Plain || command.told || facts.Command == 0 {
		return
	}
	endWatch()
	command.told, command.settled = true, true
}

// hearChild takes what the child says by the pipe: why it could not execute the command, or by
// closing it that it did. Where it was killed before it ran, its end tells.
//
//go:nosplit
func hearChild() {
	n := sys3(unix.SYS_READ, uintptr(command.begun[0]), addr(&command.failure), unsafe.Sizeof(command.failure))
	if n == errAgain {
		return // it is on its way
	}
	endWatch()
	switch {
	case n == int(unsafe.Sizeof(command.failure)):
		facts.StartError, command.why = command.failure[0], command.failure[1]
	case command.cgroup < 0 || command.ran:
		noteStarted()
	}
}

// endWatch closes the pipe that tells of the execution.
//
//go:nosplit
func endWatch() {
	closeFD(command.begun[0])
	command.begun[0] = -1
}

// lastEnd is the command's end, which becomes a fact when the signals that may be why are known:
// the front tells of each before it passes that on.
var lastEnd struct {
	change Change
	at     int64
}

//go:nosplit
func noteEnd() {
	if lastEnd.change.Code != 0 && facts.Ended.Code == 0 {
		facts.Ended, facts.EndedAt = lastEnd.change, lastEnd.at
		due.held = 0
		catchUp()
	}
}

// continueCommand sends SIGCONT to a stopped command once, since it may stop itself again for ever.
// Where the command leads a group, its children may have been stopped with it.
//
//go:nosplit
func continueCommand() {
	if continued {
		return
	}
	continued = true
	if facts.Group && int32(sys1(unix.SYS_GETPGID, uintptr(facts.Command))) == facts.Command {
		kill(-facts.Command, int32(unix.SIGCONT))
	}
	signalCommand(int32(unix.SIGCONT))
}

var continued bool // the command was sent SIGCONT for the stop signal that is under way

// signalCommand sends the command a signal of the keeper's own.
//
//go:nosplit
func signalCommand(sig int32) {
	if facts.Command != 0 && lastEnd.change.Code == 0 && (facts.Pidfd < 0 || sendByPidfd(facts.Pidfd, sig) == -int(unix.EPERM)) {
		kill(facts.Command, sig) // its own number, since it is not reaped
	}
}

// takeSignals takes what has arrived, as PID 1. While a supervisor is being started for a command
// that has ended, signals wait for it.
//
//go:nosplit
func takeSignals() {
	if facts.Front != 0 || !readsSignals() {
		return
	}
	for range signalsAtOnce {
		if !nextSignal() {
			return
		}
		if arrival.signal.Number == int32(unix.SIGCONT) && arrival.signal.Code == codeTimer {
			continue // the timer that keeps this process going
		}
		if lastEnd.change.Code == 0 {
			noteSignal(&arrival.signal, true)
		}
		signalPassed(&arrival.signal, passByRule(&arrival.signal))
	}
}

// passByRule passes a signal on as the rules have it, and reports whether it did. Where a
// supervisor decides, it passes the signal on itself.
//
//go:nosplit
func passByRule(s *Signal) bool {
	as := ruleFor(s.Number)
	if lastEnd.change.Code != 0 || as == RuleAsk || as == RuleDrop {
		return false
	}
	return passAs(facts.Pidfd, facts.Command, s, as) >= 0
}

//go:nosplit
func readsSignals() bool {
	if facts.Front != 0 || facts.Command == 0 {
		return false
	}
	return supervisor.spoke || facts.Ended.Code == 0 && (facts.Plain || heart.calm)
}

// noteSignal writes down who asked for an end first, before the signal is passed on.
//
//go:nosplit
func noteSignal(s *Signal, tell bool) {
	if facts.Ended.Code != 0 || !isRequest(s.Number) || facts.Stop.Number != 0 || facts.DeadlineAt != 0 {
		return
	}
	facts.Stop, facts.StopAt = *s, now()
	continued = false
	if !tell || !facts.Plain || !facts.Group { // a job's caller knows
		return
	}
	startLine()
	put("stop requested by ")
	putSignal(s.Number)
	putSender(s, false)
	say()
}

// signalPassed is what follows from a signal.
//
//go:nosplit
func signalPassed(s *Signal, passed bool) {
	if passed {
		facts.Forwarded++
	} else {
		facts.Undelivered++
	}
	if facts.Ended.Code == 0 && facts.Command != 0 {
		if facts.Stopped && inSet(stopSet, s.Number) {
			continued = false
			continueCommand()
		}
		if s.Number == int32(unix.SIGCONT) {
			offerTerminal()
		}
	}
	if passed && !rules.tellAll && !mayAskForEnd(s.Number) && rules.given {
		return // nobody wants to hear of it
	}
	packet.message = Message{Signal: *s}
	if passed {
		packet.message.Value = 1
	}
	told := tellSupervisor(KindSignalled)
	if !told && !passed && rules.given && lastEnd.change.Code == 0 && ruleFor(s.Number) == RuleAsk {
		pass(facts.Pidfd, facts.Command, s) // better as it is than not at all
	}
}

// stops are those of a command in the caller's process group, which the front follows.
var stops struct {
	number   int32 // of the last one
	signal   int32 // that stopped the command
	check    bool  // the front has heard of it, and is to be stopped if the command still is
	answered bool  // a SIGCONT to the front was told of since
	again    int64 // when the front is to be continued again, unless it says that it runs; 0: it does
}

// continueFront has the front continue as the command has. A stop that the front is about to follow
// discards a SIGCONT, so it is sent until the front says that it runs.
//
//go:nosplit
func continueFront() {
	if toFront < 0 || facts.Group { // its number may be another's by now
		return
	}
	tell(toFront, kindContinued, 0, 0)
	kill(facts.Front, int32(unix.SIGCONT))
	stops.again = now() + 20*millisecond
}

// stopFront has the front stop as the command has.
//
//go:nosplit
func stopFront() {
	if facts.Stopped {
		tell(toFront, kindStop, stops.signal, 0)
	}
}

// isContinued reports whether a SIGCONT to the front, which knew of so many stops, is no news for
// the command: a shell continues the whole group, and a second SIGCONT would undo the command's
// next stop.
//
//go:nosplit
func isContinued(heard int32) bool {
	if facts.Group || stops.number == 0 {
		return false
	}
	if heard != stops.number {
		return true
	}
	first, stopped := !stops.answered, facts.Stopped
	stops.answered = true
	const changes = unix.WEXITED | unix.WSTOPPED | unix.WCONTINUED | unix.WNOHANG | unix.WNOWAIT
	if wait(unix.P_PID, uintptr(facts.Command), changes) == int(facts.Command) { // what has become of it by now
		if childChange.code != codeContinued {
			return true
		}
		stopped = false
	}
	return first && !stopped
}

// hearsFront reports whether what the front says can be acted on: signals that a supervisor decides
// about wait for one.
//
//go:nosplit
func hearsFront() bool { return facts.Plain || supervisor.spoke || heart.since != 0 || heart.calm }

// hearFront takes what the front says.
//
//go:nosplit
func hearFront() {
	if toFront < 0 || !hearsFront() {
		return
	}
	for range messagesAtOnce {
		ok, gone := receive(toFront)
		if gone {
			frontGone()
			return
		}
		if !ok {
			return
		}
		m := &packet.message
		switch m.Kind {
		case kindRunning:
			stops.again = 0
		case kindHeard:
			stops.check = m.Count == stops.number
		case kindSignal:
			fromFront = m.Signal
			how, heard := m.Value, m.Count
			if fromFront.Number == int32(unix.SIGCONT) && isContinued(heard) {
				continue
			}
			noteSignal(&fromFront, how != keptByTerminal)
			passed := how == passedByFront
			if how == leftToKeeper {
				passed = passByRule(&fromFront)
			}
			if how != keptByTerminal {
				signalPassed(&fromFront, passed)
			}
		}
	}
}

var fromFront Signal

// frontGone ends the tree, since nobody waits for it any more.
//
//go:nosplit
func frontGone() {
	closeFD(toFront)
	toFront, stops.again = -1, 0
	facts.FrontGone = true
	if facts.Command == 0 {
		end(statusFailure)
		return
	}
	killNow()
	signalEverything(int32(unix.SIGKILL)) // most trees are gone by that
	due.settle = now() + 50*millisecond
	catchUp()
}

// sleep waits until something happens, or is due.
//
//go:nosplit
func sleep() {
	if tree.empty == tree.others || command.settled || command.wanted {
		return // there is more to do
	}
	if hold.wanted {
		hold.wanted, hold.until = false, now()+longestHold
		packet.message = Message{}
		tellSupervisor(KindHeld)
	}
	poll.fds = [6]unix.PollFd{
		{Fd: childFD, Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN},
		{Fd: toFront},
		{Fd: supervisor.socket, Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN},
		{Fd: command.begun[0], Events: unix.POLLIN},
	}
	if hold.until != 0 {
		poll.fds[0].Fd = -1 // who ends now is reaped when that is over
	}
	if readsSignals() {
		poll.fds[1].Fd = signalFD
	}
	if hearsFront() {
		poll.fds[2].Events = unix.POLLIN
	}
	if facts.Command != 0 && facts.Ended.Code == 0 && due.held == 0 && facts.Dead == 0 {
		poll.fds[4].Fd = facts.Pidfd
	}
	limit := uintptr(0)
	if at := nextDue(); at != 0 {
		left := max(at-now(), 0)
		poll.limit = [2]int64{left / second, left % second}
		limit = addr(&poll.limit)
	}
	if !awaitPoll(6, limit) {
		return
	}
	if poll.fds[2].Revents&unix.POLLHUP != 0 && !hearsFront() {
		frontGone()
	}
	if poll.fds[4].Revents != 0 {
		due.held = now() + heldTime
	}
	if poll.fds[5].Revents != 0 {
		hearChild()
	}
}

// awaitPoll waits for the first n of poll.fds, and reports whether there is something. Where a
// filter refuses ppoll(2) it looks again a moment later.
//
//go:nosplit
func awaitPoll(n, limit uintptr) bool {
	r := sys5(unix.SYS_PPOLL, addr(&poll.fds), n, limit, 0, 0)
	if r < 0 && r != errInterrupted {
		shortTime = [2]int64{0, millisecond}
		sys2(unix.SYS_NANOSLEEP, addr(&shortTime), 0)
		for i := uintptr(0); i < n; i++ {
			(*unix.PollFd)(unsafe.Add(unsafe.Pointer(&poll.fds), i*unsafe.Sizeof(unix.PollFd{}))).Revents = 0
		}
	}
	return r > 0
}

var poll struct {
	fds   [6]unix.PollFd
	limit [2]int64
}

// heldTime is how long a command that is dead may take until it can be waited for. A tracer can
// hold it (ptrace(2)).
const heldTime = second
