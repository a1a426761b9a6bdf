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
	sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128) // the SIGCHLD that says so: before the look
	reapHelpers()
	reaped, killed, died := int32(0), int32(0), false
	for range childrenAtOnce {
		pid := takeChange()
		if pid <= 0 {
			tree.empty, tree.others = pid == errNoChild, pid == 0
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
		signalEverything(int32(unix.SIGKILL)) // the children of who has died are this process's now
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

// takeChange waits for what has happened to a child, as wait does. Where a supervisor wants to hear
// of each child, it is looked at first, told of, and only then taken, by its number: whoever ends
// between the look and that is the next one.
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
	return max(wait(unix.P_PID, uintptr(pid), unix.WSTOPPED|unix.WCONTINUED|unix.WNOHANG), 0) // it may have ended since
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
		if endAsked || facts.DeadlineAt != 0 {
			continueCommand() // it is to act on the stop signal
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
		hearChild() // that it runs comes first
	}
	catchUp()
	packet.message = Message{}
	packet.message.Change = lastChange()
	tellSupervisor(KindChanged)
}

// lastEnd is the command's end, which becomes a fact when the signals that may be why are known:
// the front tells of each before it passes that on.
var lastEnd struct {
	change Change
	at     int64
	name   [16]byte // the command's name then, and when it was started: see tellChild
	born   int64
}

//go:nosplit
func noteEnd() {
	if lastEnd.change.Code != 0 && facts.Ended.Code == 0 {
		facts.Ended, facts.EndedAt = lastEnd.change, lastEnd.at
		due.dead = 0
		catchUp()
	}
}
