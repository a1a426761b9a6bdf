//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// run is the front's view of the run. The keeper's view is facts.
var run struct {
	keeper int32 // the keeper's PID; 0: it has died
	built  bool  // a child of the front has cloned the keeper: see keeperBuilt
	begun  bool  // the keeper has sent a message
	isInit bool  // the front is PID 1: orphans become its children

	command    int32 // the command's PID; 0: it was not started yet
	pidfd      int32 // a pidfd of the command; -1: there is none
	grouped    bool  // the command is in the front's process group
	onTerminal bool  // there is a controlling terminal
	inCgroup   bool  // the command is in a cgroup of its own

	how     int32  // how the signal in arrival is passed on, while the keeper has no room for it; 0: none
	passed  uint64 // the signals that were passed on
	earlyFD int32  // a signalfd for stop signals that come before there is a command; -1: there is one
	early   int64  // when such a signal, which waits for the command, ends finite; 0: there is none

	stopNumber int32 // the number of the command's last stop that the front has heard of
	heard      bool  // the keeper is to be told that the front has heard of that stop
	confirmed  int32 // the number of the last stop that the keeper was sent kindHeard for
	stoppedBy  int32 // the signal that stopped the command; 0: it runs
	ready      bool  // a signal that stops the front is pending: see prepareStop
	spare      int32 // the signal that prepareStop sent: it may come after the stop is over
	follow     bool  // the command is still stopped: the front is to stop

	told   bool  // the keeper has told how the run ends
	status int32 // the exit status
	diedOf int32 // the signal that ended the command; 0: none
	orphan int32 // a killed supervisor, which becomes a child of the front when the keeper ends; 0: none
	alone  bool  // no process but the keeper was left when it told this

	latest     int64 // when the keeper should have ended at the latest
	late       bool  // the latest time has come
	lateStatus int32 // the exit status of a run whose keeper has died
	inTime     bool  // lateStatus is the status after the latest time only: no deadline was reached
	patience   int64 // when the front stops waiting for a keeper that has ended or was killed
	drop       int64 // when the front closes the caller's descriptors
}

// frontLeads says that the front leads its session.
var frontLeads bool

// front is the loop of the front, from the fork of the keeper to the end of the run. It does not
// return.
//
//go:nosplit
func front(keeper int32) {
	run.keeper, run.lateStatus = keeper, statusFailure
	run.drop = now() + dropDelay
	if planAt != 0 {
		beForeign()
	}
	if !facts.Plain || planAt != 0 {
		run.earlyFD = signalDescriptor(&earlySet)
	}
	sys1(unix.SYS_CHDIR, text("/\x00"))
	for {
		reapHelpers()
		dropWhenDue()
		if run.isInit {
			reapStrays()
		}
		hearKeeper()
		endUnstarted()
		if mayPass() {
			passSignals()
		}
		if run.heard {
			run.heard, run.confirmed = false, run.stopNumber // every earlier signal was told
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

// dropWhenDue closes the caller's descriptors when that is due.
//
//go:nosplit
func dropWhenDue() {
	if isDue(run.drop) {
		run.drop = 0
		dropInherited()
		lockMemory()
	}
}

// hearKeeper takes the messages of the keeper.
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
				run.latest = now() + int64(m.Count)*millisecond + latestMargin // the keeper acts first
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

// sleepAsFront waits until something happens to the front, or is due.
//
//go:nosplit
func sleepAsFront() {
	sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128)
	const look = unix.WNOHANG | unix.WNOWAIT
	if r := wait(unix.P_PID, uintptr(run.keeper), unix.WEXITED|unix.WSTOPPED|look); r != 0 {
		return
	}
	if run.isInit && wait(unix.P_ALL, 0, unix.WEXITED|look) > 0 {
		return
	}
	poll.fds = [6]unix.PollFd{
		{Fd: childFD, Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN},
		{Fd: toKeeper, Events: unix.POLLIN},
	}
	if run.how != 0 {
		poll.fds[2].Events |= unix.POLLOUT
	} else if mayPass() {
		poll.fds[1].Fd = signalFD
	} else if run.early == 0 {
		poll.fds[1].Fd = run.earlyFD
	}
	reapHelpers()
	awaitPoll(3, limitUntil(nextOfFront()))
}

// nextOfFront is the first time at which something is due in the front.
//
//go:nosplit
func nextOfFront() int64 {
	at := earlier(run.latest, run.patience)
	at = earlier(at, run.drop)
	at = earlier(at, run.early)
	return earlier(at, nextHelper())
}
