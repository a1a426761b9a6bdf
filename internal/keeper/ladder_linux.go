//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// due is what the clock brings next; 0 is never.
var due struct {
	deadline   int64 // the deadline
	kill       int64 // the end of the grace time
	latest     int64 // the latest time: see beLate
	dead       int64 // the command is dead by its pidfd, and waitid(2) should have returned it
	stuck      int64 // the command was killed, and should have ended
	supervisor int64 // the next look at the supervisor: see checkSupervisor
	again      int64 // a command that has stopped itself again and again is continued once more
	settle     int64 // processes that were killed should be gone
	watch      int64 // the next look whether the command was executed: see delayWatch
	drop       int64 // the caller's descriptors are closed
	heart      int64 // the next round of the ending by heart
}

// latestMargin is what an ending may take beyond its own times.
const latestMargin = 2 * second

// nextDue is the first time at which something is due.
//
//go:nosplit
func nextDue() int64 {
	at := earlier(due.deadline, due.kill)
	at = earlier(at, due.latest)
	at = earlier(at, due.dead)
	if supervisor.pid == 0 && heart.since == 0 { // no process deals with it yet
		at = earlier(at, due.stuck)
	}
	at = earlier(at, due.supervisor)
	at = earlier(at, due.heart)
	at = earlier(at, due.drop)
	at = earlier(at, due.watch)
	at = earlier(at, hold.until)
	at = earlier(at, due.settle)
	at = earlier(at, due.again)
	at = earlier(at, nextHelper())
	return earlier(at, stops.again)
}

// armDeadline sets the deadline, which counts from the command's start.
//
//go:nosplit
func armDeadline() {
	if facts.Timeout > 0 {
		due.deadline = after(facts.Started, facts.Timeout)
		keepGoing(due.deadline)
	}
}

// deadlineAhead is when a deadline that a supervisor keeps will come, 0 where none will.
//
//go:nosplit
func deadlineAhead() int64 {
	if facts.Timeout <= 0 || facts.Started == 0 {
		return 0
	}
	at := after(facts.Started, facts.Timeout)
	if at <= now() {
		return 0
	}
	return at
}

// keepTime does what is due.
//
//go:nosplit
func keepTime() {
	if isDue(due.deadline) {
		due.deadline = 0
		deadline()
	}
	if isDue(due.kill) {
		due.kill = 0
		if !supervisor.spoke { // a supervisor says so
			startLine()
			put("the grace time is over: SIGKILL to everything that is left")
			sayFirst()
		}
		killNow()
	}
	if isDue(due.dead) {
		due.dead, facts.Dead = 0, now()
	}
	if isDue(due.settle) {
		due.settle = 0
	}
	if isDue(due.watch) {
		due.watch = 0
	}
	if isDue(due.again) {
		due.again = 0
		if facts.Stopped && facts.KilledAt == 0 {
			sendContinue()
		}
	}
	if isDue(due.drop) {
		due.drop = 0
		dropInherited()
		lockMemory()
	}
	if isDue(stops.again) {
		wakeFront()
		stops.again = now() + 20*millisecond
	}
	checkSupervisor()
}

// deadline begins the ending at the deadline. A command that has ended is not timed out: what it
// has left is for a supervisor to end. The same holds for a command that is dead and cannot be
// waited for.
//
//go:nosplit
func deadline() {
	if facts.Ended.Code != 0 || due.dead != 0 || facts.Dead != 0 || facts.KilledAt != 0 {
		return
	}
	facts.DeadlineAt = now()
	due.latest = after(after(facts.DeadlineAt, facts.Grace), giveUpTime+latestMargin)
	if facts.Front != 0 {
		left := (due.latest - facts.DeadlineAt) / millisecond
		tell(toFront, kindUntil, statusDeadline, int32(min(left, 1<<31-1)))
	}
	startLine()
	if facts.Grace == 0 {
		put("the deadline was reached: SIGKILL to everything")
		sayFirst()
		killNow()
		return
	}
	put("the deadline was reached: SIGTERM, and SIGKILL to everything in ")
	putDuration(facts.Grace)
	say()
	signalCommand(int32(unix.SIGTERM))
	continues = 0
	if facts.Stopped {
		continueCommand()
	}
	due.kill = after(facts.DeadlineAt, facts.Grace)
	keepGoing(due.kill)
}

// killNow sends SIGKILL to the command, and as PID 1 to every process. Elsewhere the rest of the
// tree is ended by a supervisor, or by heart.
//
//go:nosplit
func killNow() {
	if facts.KilledAt == 0 {
		facts.KilledAt = now()
	}
	due.kill = 0
	due.stuck = now() + 200*millisecond
	due.latest = now() + giveUpTime + latestMargin
	keepGoing(now())
	if facts.NoSubreaper && heart.since == 0 {
		// A supervisor kills the command last, since this process does not inherit its children.
		due.stuck = facts.KilledAt
		return
	}
	signalCommand(int32(unix.SIGKILL))
	if facts.Init && facts.OlderCount == 0 && supervisor.pid == 0 {
		kill(-1, int32(unix.SIGKILL))
		due.settle = now() + dyingTime
	}
}

// dyingTime is how long processes may take to end after SIGKILL. Until then they do not count as
// left.
const dyingTime = 50 * millisecond
