//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Each turn of the loop takes a bounded number of children, signals and messages, and then looks at the clock: a flood
// of any of them does not keep the deadline away.
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
		sys2(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0) // there is an ending to enforce
	}
	if facts.Front != 0 {
		facts.NoSubreaper = sys2(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1) < 0
	}
	chooseGroup()
	facts.Started = now()
	sys2(unix.SYS_CLOCK_GETTIME, unix.CLOCK_REALTIME, addr(&clockTime))
	facts.StartedWall = clockTime[0]*second + clockTime[1]
	pid := startCommand()
	if pid < 0 {
		startLine()
		put("cannot run ")
		putQuoted(wordAt(plain.argv, 0))
		put(": ")
		putError(pid)
		say()
		end(statusFailure)
	}
	facts.Command = int32(pid)
	if facts.Front != 0 {
		packet.message = Message{Value: facts.Command}
		if !facts.Group {
			packet.message.Count = 1
		}
		send(toFront, kindStarted, facts.Pidfd)
		sys0(unix.SYS_SETSID)
	}
	armDeadline()
	sys1(unix.SYS_CHDIR, text("/\x00"))
	if facts.Front != 0 {
		dropInherited(0)
	} else {
		dropInherited(3)
	}
	for {
		reap()
		hearSupervisor()
		hearFront()
		takeSignals()
		if keepTime() || overseeEnd() {
			return // a supervisor
		}
		sleep()
	}
}

// chooseGroup decides whether the command leads a process group of its own: where finite is PID 1 or a session leader,
// and where there is no controlling terminal. Elsewhere the command stays in the caller's group, as if finite were not
// there, so that the job control of the caller's shell works.
//
//go:nosplit
func chooseGroup() {
	terminal.fd, command.tty = -1, -1
	leader := facts.Front == 0 || callerLeads
	findTerminal()
	facts.Group = leader || terminal.fd < 0
	if leader {
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
	reaped, killed := int32(0), int32(0)
	for range childrenAtOnce {
		pid := wait(unix.P_ALL, 0, unix.WEXITED|unix.WSTOPPED|unix.WCONTINUED|unix.WNOHANG)
		if pid <= 0 {
			tree.empty, tree.others = pid == errNoChild, pid == 0
			break
		}
		switch {
		case pid == int(facts.Command) && facts.Ended.Code == 0:
			commandChanged()
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
	if reaped > 0 {
		facts.Orphans += reaped
		if facts.Ended.Code != 0 {
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
		if facts.Front != 0 {
			tell(toFront, kindStopped, childChange.status, 0)
			front2.running = 0
		}
	case codeContinued:
		facts.Stopped = false
		continueFront()
	case codeExited, codeExited + 1, codeDumped:
		facts.Ended, facts.EndedAt = lastChange(), now()
		facts.Stopped = false
		if facts.StartError != 0 && facts.Ended.Code != codeExited {
			facts.StartError = 0
		}
		packet.message = Message{Change: facts.Ended}
		tellSupervisor(KindExited)
		return
	}
	packet.message = Message{Change: lastChange()}
	tellSupervisor(KindChanged)
}

// continueCommand sends SIGCONT to a stopped command once, since it may stop itself again for ever. Where the command
// leads a group, its children may have been stopped with it.
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
	if facts.Ended.Code == 0 && (facts.Pidfd < 0 || sendByPidfd(facts.Pidfd, sig) == -int(unix.EPERM)) {
		kill(facts.Command, sig) // its own number, since it is not reaped
	}
}

// takeSignals takes what has arrived, as PID 1. While a supervisor is being started for a command that has ended,
// signals wait for it.
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
		noteSignal(&arrival.signal, true)
		passed := facts.Ended.Code == 0 && pass(facts.Pidfd, facts.Command, &arrival.signal) >= 0
		signalPassed(&arrival.signal, passed)
	}
}

//go:nosplit
func readsSignals() bool { return facts.Front == 0 && (facts.Ended.Code == 0 || supervisor.spoke) }

// noteSignal writes down who asked for an end first, before the signal is passed on.
//
//go:nosplit
func noteSignal(s *Signal, tell bool) {
	if facts.Ended.Code != 0 || !isRequest(s.Number) || facts.Stop.Number != 0 || facts.DeadlineAt != 0 {
		return
	}
	facts.Stop, facts.StopAt = *s, now()
	continued = false
	if !tell {
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
	if facts.Ended.Code == 0 {
		if facts.Stopped && inSet(stopSet, s.Number) {
			continued = false
			continueCommand()
		}
		if s.Number == int32(unix.SIGCONT) {
			offerTerminal()
		}
	}
	packet.message = Message{Signal: *s}
	if passed {
		packet.message.Value = 1
	}
	tellSupervisor(KindSignalled)
}

// front2 is what the keeper knows of the front.
var front2 struct {
	running int64 // when the front is to be continued again, unless it says that it runs; 0: it runs
}

// continueFront has the front continue as the command has.
//
//go:nosplit
func continueFront() {
	if facts.Front == 0 {
		return
	}
	tell(toFront, kindContinued, 0, 0)
	kill(facts.Front, int32(unix.SIGCONT))
	front2.running = now() + 20*millisecond
}

// hearFront takes what the front says.
//
//go:nosplit
func hearFront() {
	if toFront < 0 {
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
			front2.running = 0
		case kindSignal:
			fromFront = m.Signal
			how := m.Value
			noteSignal(&fromFront, how != keptByTerminal)
			passed := how == passedByFront
			if how == leftToKeeper {
				passed = facts.Ended.Code == 0 && pass(facts.Pidfd, facts.Command, &fromFront) >= 0
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
	toFront = -1
	facts.FrontGone = true
	killNow()
	packet.message = Message{}
	tellSupervisor(KindFrontGone)
}

// sleep waits until something happens, or is due.
//
//go:nosplit
func sleep() {
	if tree.empty == tree.others {
		return // there are more children to take
	}
	if hold.wanted {
		hold.wanted, hold.until = false, now()+longestHold
		packet.message = Message{}
		tellSupervisor(KindHeld)
	}
	poll.fds = [5]unix.PollFd{
		{Fd: childFD, Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN},
		{Fd: toFront, Events: unix.POLLIN},
		{Fd: supervisor.socket, Events: unix.POLLIN},
		{Fd: -1, Events: unix.POLLIN},
	}
	if readsSignals() {
		poll.fds[1].Fd = signalFD
	}
	if facts.Ended.Code == 0 && due.held == 0 && facts.Dead == 0 {
		poll.fds[4].Fd = facts.Pidfd
	}
	limit := uintptr(0)
	if at := nextDue(); at != 0 {
		left := max(at-now(), 0)
		poll.limit = [2]int64{left / second, left % second}
		limit = addr(&poll.limit)
	}
	if sys5(unix.SYS_PPOLL, addr(&poll.fds), 5, limit, 0, 0) > 0 && poll.fds[4].Revents != 0 {
		due.held = now() + heldTime
	}
}

var poll struct {
	fds   [5]unix.PollFd
	limit [2]int64
}

// heldTime is how long a command that is dead may take until it can be waited for. A tracer can hold it (ptrace(2)).
const heldTime = second
