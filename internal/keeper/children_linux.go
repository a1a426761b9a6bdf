//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

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
	sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128) // the SIGCHLD, before the look
	reapHelpers()
	reaped, killed, died := int32(0), int32(0), false
	for range childrenAtOnce {
		pid := takeChange()
		if pid <= 0 {
			tree.empty = pid == errNoChild || pid == 0 && isSupervisorAlone()
			tree.others = pid == 0 && !tree.empty
			break
		}
		switch {
		case pid == int(facts.Command) && facts.Ended.Code == 0:
			commandChanged()
			died = died || lastEnd.change.Code != 0
		case pid == int(supervisor.pid):
			supervisorChanged(pid)
		case childChange.code > codeDumped: // another child was stopped or continued
		case forgetHelper(int32(pid)):
		default:
			reaped++
			if childChange.code != codeExited && childChange.status == int32(unix.SIGKILL) {
				killed++
			}
		}
	}
	if killingByHeart && (died || reaped > 0) {
		signalEverything(int32(unix.SIGKILL)) // this process has inherited the children of the dead
	}
	if reaped > 0 {
		facts.Orphans += reaped
		if lastEnd.change.Code != 0 {
			facts.Killed += killed
			facts.Terminated += reaped - killed
		}
		packet.message = Message{}
		packet.message.Count, packet.message.Killed = reaped, killed
		tellSupervisor(KindReaped)
	}
}

// isSupervisorAlone reports whether, after the end of the command, no child is left but a
// supervisor that is an ordinary child: waitid(2) counts it. Without the kernel's list of children
// those with PIDs near this process's own are looked for. A child beyond them is found when the
// supervisor has ended (see isOver).
//
//go:nosplit
func isSupervisorAlone() bool {
	if !facts.Ordinary || supervisor.pid == 0 || lastEnd.change.Code == 0 || facts.OlderCount > 0 {
		return false
	}
	if openChildren(); childrenFD >= 0 {
		return !signalListed(0)
	}
	own := sys0(unix.SYS_GETPID)
	return !signalChildren(own+1, own+nearNumbers, 0)
}

// takeChange takes the next change of a child, and returns as wait does. Where a supervisor wants
// to hear of each child, the change is looked at first and told, and then taken by PID: another
// child may end in between.
//
//go:nosplit
func takeChange() int {
	const changes = unix.WEXITED | unix.WSTOPPED | unix.WCONTINUED
	if !rules.eachChild {
		return wait(unix.P_ALL, 0, changes|unix.WNOHANG)
	}
	pid := wait(unix.P_ALL, 0, changes|unix.WNOHANG|unix.WNOWAIT)
	switch {
	case pid <= 0:
		return pid
	case childChange.code <= codeDumped:
		tellChild(int32(pid))
		return wait(unix.P_PID, uintptr(pid), unix.WEXITED|unix.WNOHANG)
	}
	// A child that has ended since is no error: its end is the next change.
	return max(wait(unix.P_PID, uintptr(pid), unix.WSTOPPED|unix.WCONTINUED|unix.WNOHANG), 0)
}

// hold keeps children from being reaped, so that a supervisor can signal them by PID.
var hold struct {
	until  int64 // children are reaped again from then on; 0: they are reaped
	wanted bool  // a supervisor has asked for it
}

// longestHold is how long a supervisor can hold children.
const longestHold = second

// Values of si_code for SIGCHLD (sigaction(2)): CLD_EXITED and so on.
const (
	codeExited    = 1
	codeDumped    = 3
	codeStopped   = 5
	codeContinued = 6
)

// lastChange is the change that wait has put into childChange and childUsage.
//
//go:nosplit
func lastChange() Change {
	return Change{
		PID: childChange.pid, UID: childChange.uid, Code: childChange.code, Status: childChange.status,
		User: nanoseconds(&childUsage.Utime), System: nanoseconds(&childUsage.Stime),
		MaxRSS: childUsage.Maxrss,
	}
}

// nanoseconds converts a time of struct rusage.
//
//go:nosplit
func nanoseconds(t *unix.Timeval) int64 { return t.Sec*second + t.Usec*1000 }

// commandChanged deals with a change of the command: a stop, a continuation, or its end.
//
//go:nosplit
func commandChanged() {
	switch childChange.code {
	case codeStopped:
		facts.Stopped = true
		if endAsked || facts.DeadlineAt != 0 {
			continueCommand() // so that it can act on the stop signal
		}
		stops.number++
		stops.answered = false
		if facts.Front != 0 && !facts.Group {
			stops.again = 0
			tell(toFront, kindStopped, childChange.status, stops.number)
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
	if !facts.Plain && command.watch[0] >= 0 {
		hearChild() // a supervisor is told first that the command runs
	}
	catchUp()
	packet.message = Message{}
	packet.message.Change = lastChange()
	tellSupervisor(KindChanged)
}

// lastEnd is the command's end, from when it was reaped until noteEnd makes it a fact. In between
// the keeper hears of the signals that may be its cause: the front tells of a signal before it
// passes the signal on.
var lastEnd struct {
	change Change
	at     int64
	name   [16]byte // the command's name when it ended
	born   int64    // when the command was started, in clock ticks after the boot
}

// noteEnd makes the command's end a fact.
//
//go:nosplit
func noteEnd() {
	if lastEnd.change.Code != 0 && facts.Ended.Code == 0 {
		facts.Ended, facts.EndedAt = lastEnd.change, lastEnd.at
		due.dead = 0
		catchUp()
	}
}
