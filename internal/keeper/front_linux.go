//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

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
