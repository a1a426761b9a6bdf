//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// How a signal that the front tells of has been passed on.
const (
	passedByFront  = 1
	leftToKeeper   = 2 // the front has no pidfd
	keptByTerminal = 3 // the terminal has sent it to the command as well
)

// run is what the front knows of the run.
var run struct {
	keeper     int32
	built      bool  // that is the one that a child has cloned (see keeperBuilt)
	begun      bool  // it has begun to say something
	isInit     bool  // this process is PID 1: orphans come here
	how        int32 // how the signal in arrival is passed on, where the keeper has no room for it; 0: there is none
	command    int32 // 0: there is none yet
	pidfd      int32
	earlyFD    int32  // a signalfd for what ends finite while its namespaces are made; -1: they are
	passed     uint64 // signals that were passed on
	heard      bool   // the keeper is to be told that a stop was heard of
	stopNumber int32  // the number of the command's last stop that was heard of
	confirmed  int32  // and of the last one that the keeper knows this of
	stoppedBy  int32  // the command was stopped by this signal, and the front is to be if it is stopped still
	ready      bool   // a stop signal waits for this process (see prepareStop)
	spare      int32  // which may wait longer than it is needed
	follow     bool   // the command is stopped still
	told       bool   // the keeper has told how the run ends
	status     int32
	diedOf     int32 // the signal that ended the command
	orphan     int32 // a supervisor that was killed, and is this process's child when the keeper has ended
	alone      bool  // nobody but the keeper was left when it told its status
	latest     int64 // when the keeper should have ended at the latest
	patience   int64 // when a keeper that has ended, or was killed, is waited for no longer
	lateStatus int32 // and what the status is then
	drop       int64 // when what the caller had open is left to the command
	inTime     bool  // and only then: no deadline was reached
	late       bool  // the latest time has come
	grouped    bool  // the command stays in this process's group
	onTerminal bool
	inCgroup   bool // the command has one
}

var frontLeads bool // the caller's process, which is the front, leads its session

// front keeps the caller's place until the run is over. It does not return.
//
//go:nosplit
func front(keeper int32) {
	run.keeper, run.lateStatus = keeper, statusFailure
	run.drop = now() + dropDelay
	if planAt != 0 {
		run.earlyFD = signalDescriptor(&earlySet)
		beForeign()
	}
	sys1(unix.SYS_CHDIR, text("/\x00"))
	for {
		reapHelpers()
		dropWhenDue()
		if run.isInit {
			reapStrays()
		}
		hearKeeper()
		endBuilding()
		if mayPass() {
			passSignals()
		}
		if run.heard {
			run.heard, run.confirmed = false, run.stopNumber // every signal that came before has been told of
			prepareStop()
			tell(toKeeper, kindHeard, 0, run.stopNumber)
		}
		if run.follow {
			followStop()
		}
		if run.told {
			leave()
		}
		if keeperDied() {
			takeOver()
		}
		sleepAsFront()
	}
}

// dropWhenDue leaves what the caller had open to the command, when that is due.
//
//go:nosplit
func dropWhenDue() {
	if isDue(run.drop) {
		run.drop = 0
		dropInherited()
		lockMemory()
	}
}

// hearKeeper takes what the keeper says.
//
//go:nosplit
func hearKeeper() {
	drainWakes()
	for {
		ok, gone := receive(toKeeper)
		if gone {
			closeFD(toKeeper)
			toKeeper, run.patience = -1, now()+keeperPatience
		}
		if !ok {
			return
		}
		m := &packet.message
		if !run.begun {
			noteBegun()
		}
		switch m.Kind {
		case kindStarted:
			closeFD(run.pidfd)
			run.command, run.pidfd = m.Value, packet.passed.fd
			run.grouped, run.onTerminal = m.Count&StartedInGroup != 0, m.Count&startedOnTerminal != 0
			run.inCgroup = m.Count&StartedInCgroup != 0
		case kindStopped:
			run.stopNumber, run.stoppedBy, run.heard = m.Count, m.Value, true
			run.ready, run.follow = false, false
		case kindStop:
			run.follow = true
		case kindContinued:
			run.stoppedBy, run.ready, run.follow = 0, false, false
			tell(toKeeper, kindRunning, 0, 0)
		case kindUntil:
			run.latest, run.lateStatus, run.inTime = 0, m.Value, m.Killed != 0
			if m.Count > 0 {
				run.latest = now() + int64(m.Count)*millisecond + latestMargin // after the keeper's own
				keepGoing(run.latest)
			}
		case kindRules:
			rules.given, rules.group, rules.tellAll, rules.table = true, m.Count != 0, m.Value != 0, m.Table
		case kindStatus:
			run.told, run.status, run.diedOf, run.orphan = true, m.Value, m.Count, m.Killed
			run.alone = m.Times[0] != 0
		}
	}
}

// mayPass reports whether it is known how signals are passed on. One that a supervisor has to be
// asked about would be overtaken by one that is passed on at once. A stop signal that waits for
// this process is not to be taken.
//
//go:nosplit
func mayPass() bool { return run.command != 0 && (facts.Plain || rules.given) && !run.ready }

// passSignals passes on what has arrived, in order. Where the keeper has no room for one that is
// left to it, the rest waits.
//
//go:nosplit
func passSignals() {
	for range signalsAtOnce {
		if run.how == 0 {
			if !nextSignal() {
				return
			}
			run.how = wayOf(&arrival.signal)
		}
		if run.how != 0 && !passSignal(&arrival.signal, run.how) {
			return
		}
		run.how = 0
	}
}

// wayOf returns how a signal is passed on; 0: not at all. What the kernel sends for the terminal
// goes to the whole group, and so to the command as well, where that is in the group.
//
//go:nosplit
func wayOf(s *Signal) int32 {
	s.Name = [16]byte{}
	switch {
	case s.Number == run.spare && s.Code == codeUser && s.PID == facts.Front:
		run.spare = 0
		return 0
	case s.Number == int32(unix.SIGCONT) && (s.Code == codeTimer || isWake(s.Code) || s.PID == run.keeper):
		return 0
	case s.Code == codeKernel && run.grouped && inSet(terminalSet, s.Number) && !(frontLeads && inSet(hangupSet, s.Number)):
		return keptByTerminal
	case facts.Foreign:
		if mayAskForEnd(s.Number) || rules.tellAll {
			nameSender(s)
		}
		return leftToKeeper
	case s.Number == int32(unix.SIGCONT) && run.grouped:
		offerCommand()
		return leftToKeeper // which knows whether the command has continued
	case run.pidfd < 0 || ruleFor(s.Number) == RuleAsk || ruleFor(s.Number) == RuleDrop:
		return leftToKeeper
	}
	return passedByFront
}

// passSignal passes a signal on, and returns false where the keeper has no room for it.
//
//go:nosplit
func passSignal(s *Signal, how int32) bool {
	if how != passedByFront || mayAskForEnd(s.Number) || rules.tellAll { // the keeper counts nothing that nobody asks for
		packet.message = Message{Value: how, Count: run.confirmed, Signal: *s}
		if !send(toKeeper, kindSignal, -1) && how == leftToKeeper && toKeeper >= 0 {
			return false
		}
	}
	if how != keptByTerminal {
		run.passed |= 1 << (uint32(s.Number-1) & 63)
	}
	if how == passedByFront {
		passAs(run.pidfd, run.command, s, ruleFor(s.Number))
	}
	return true
}

// offerCommand gives the foreground to the command's process group, where a shell that continues
// the job has put this process's there: a command that is a shell itself has made a group of its
// own.
//
//go:nosplit
func offerCommand() {
	tty := sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/dev/tty\x00"), unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if tty < 0 {
		return
	}
	terminal.fd = int32(tty)
	own, its := int32(sys1(unix.SYS_GETPGID, 0)), int32(sys1(unix.SYS_GETPGID, uintptr(run.command)))
	if its > 0 && its != own && foreground() == own {
		setForeground(its)
	}
	terminal.fd = -1
	sys1(unix.SYS_CLOSE, uintptr(tty))
}

// leave ends this process with the status that the keeper has told. The keeper is reaped first, so
// that the times of the command are the caller's to see (wait4(2)). Where the terminal's INT or
// QUIT has ended the command, this process dies of it too, so that a script of the caller's stops
// as it does without finite.
//
//go:nosplit
func leave() {
	awaitHelpers()
	if run.keeper != 0 {
		kill(run.keeper, int32(unix.SIGKILL)) // it has nothing left to do, and may have been stopped
		patience := int64(childTime)
		if run.alone {
			patience = lonelyTime
		}
		awaitChild(run.keeper, patience)
	}
	if run.orphan != 0 {
		awaitChild(run.orphan, childTime)
	}
	endPlanner(0)
	takeForeground()
	if (run.diedOf == int32(unix.SIGINT) || run.diedOf == int32(unix.SIGQUIT)) && run.onTerminal && !inSet(run.passed, run.diedOf) {
		noCore = [2]uint64{}
		sys4(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, addr(&noCore), 0)
		kill(facts.Front, run.diedOf)
		letThrough(run.diedOf)
	}
	exit(run.status)
}

var noCore [2]uint64

// awaitChild reaps a child that was killed, or is about to end. As PID 1 of a namespace a keeper
// ends when the kernel has killed everybody in it, which can take for ever. One that is alone there
// ends as soon as it gets a processor.
//
//go:nosplit
func awaitChild(pid int32, patience int64) {
	for until := now() + patience; wait(unix.P_PID, uintptr(pid), unix.WEXITED|unix.WNOHANG|unix.WALL) == 0 && now() < until; {
		poll.fds = [6]unix.PollFd{{Fd: childFD, Events: unix.POLLIN}}
		poll.limit = [2]int64{0, 100 * millisecond}
		awaitPoll(1, addr(&poll.limit))
		sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128)
	}
}

const (
	childTime      = second
	lonelyTime     = 10 * second
	keeperPatience = 2 * second
)

// keeperDied reports whether the keeper has ended, or should have, without a word.
//
//go:nosplit
func keeperDied() bool {
	if isDue(run.latest) {
		run.latest, run.late, run.patience = 0, true, now()+keeperPatience
		kill(run.keeper, int32(unix.SIGKILL))
	}
	if isDue(run.patience) { // PID 1 of a namespace whose processes are not all this tree's
		return true
	}
	r := wait(unix.P_PID, uintptr(run.keeper), unix.WEXITED|unix.WSTOPPED|unix.WNOHANG)
	switch {
	case r == int(run.keeper) && childChange.code == codeStopped: // by somebody: there is no reason for it to be
		kill(run.keeper, int32(unix.SIGCONT))
		return false
	case r == int(run.keeper):
		return !keeperBuilt()
	}
	return r == errNoChild
}

// takeOver ends what a keeper that has died left.
//
//go:nosplit
func takeOver() {
	run.keeper = 0
	hearKeeper() // its last words
	if run.told {
		leave()
	}
	if sayWhyNot() {
		endPlanner(1)
		exit(statusFailure)
	}
	run.drop = min(run.drop, 1) // now, if that was still to come
	dropWhenDue()
	startLine()
	if planAt != 0 && thePlan().Joined && !run.inCgroup {
		put("the keeper was killed: SIGKILL to the command; what else it left in the PID namespace that was joined is out of reach")
	} else {
		put("the keeper was killed: SIGKILL to everything that is left")
	}
	say()
	if run.pidfd >= 0 {
		sendByPidfd(run.pidfd, int32(unix.SIGKILL))
	}
	if !endEverything() {
		startLine()
		put("gave up: somebody cannot be ended, or is held by another process")
		say()
	}
	awaitHelpers()
	endPlanner(1)
	takeForeground()
	if run.inTime && !run.late {
		exit(statusFailure)
	}
	exit(run.lateStatus)
}

// sleepAsFront waits until something happens.
//
//go:nosplit
func sleepAsFront() {
	sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128)
	if r := wait(unix.P_PID, uintptr(run.keeper), unix.WEXITED|unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT); r != 0 {
		return
	}
	if run.isInit && wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) > 0 {
		return
	}
	poll.fds = [6]unix.PollFd{{Fd: childFD, Events: unix.POLLIN}, {Fd: -1, Events: unix.POLLIN}, {Fd: toKeeper, Events: unix.POLLIN}}
	if run.how != 0 {
		poll.fds[2].Events |= unix.POLLOUT
	} else if mayPass() {
		poll.fds[1].Fd = signalFD
	} else {
		poll.fds[1].Fd = run.earlyFD
	}
	reapHelpers()
	awaitPoll(3, limitUntil(earlier(earlier(run.latest, run.patience), earlier(run.drop, nextHelper()))))
}
