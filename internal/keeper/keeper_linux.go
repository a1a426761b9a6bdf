//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Each turn of the loop takes a bounded number of children, signals and messages, and then looks at
// the clock. So a flood of them does not delay the deadline.
const (
	childrenAtOnce = 256
	signalsAtOnce  = 64
	messagesAtOnce = 64
)

// tree is what waitid(2) said of all children last. Both are false where more children may have
// changed.
var tree struct {
	empty  bool // there is no child
	others bool // there are children, and none has changed
}

// keep starts the command and sees it to its end. It returns in a supervisor only.
//
//go:nosplit
func keep() {
	if facts.Front == 0 && facts.Timeout > 0 {
		protect() // there is an ending to enforce
	}
	if !facts.Init {
		facts.NoSubreaper = sys2(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1) < 0
	}
	terminal.fd, command.tty = -1, -1
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
		if stops.check { // a SIGCONT to the command may have come since the front heard of the stop
			stops.check = false
			reap()
			stopFront()
		}
		if command.wanted && !ending.wanted {
			command.wanted = false
			launch(command.grouped)
		}
		if command.settled && !endedQuietly() {
			command.settled = false
			settleDown()
		}
		keepTime()
		endUnstartedInit()
		if overseeEnd() {
			return // in a supervisor
		}
		if ending.wanted {
			finish()
		}
		sleep()
	}
}

// protect keeps the command out of this process's memory and descriptors. The command may have the
// same user.
//
//go:nosplit
func protect() { sys2(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0) }

// launch starts the command, and tells the front and a supervisor.
//
//go:nosplit
func launch(group bool) {
	chooseGroup(group)
	facts.Started = now()
	if facts.Plain { // before there is a command that could stop this process
		armDeadline()
	} else if at := deadlineAhead(); at != 0 {
		keepGoing(at)
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
	delayWatch()
	if facts.Front != 0 {
		packet.message = Message{Value: facts.Command}
		if !facts.Group {
			packet.message.Count = StartedInGroup
		}
		if command.onTerminal {
			packet.message.Count |= startedOnTerminal
		}
		if facts.Cgroup >= 0 {
			packet.message.Count |= StartedInCgroup
		}
		send(toFront, kindStarted, facts.Pidfd)
	}
	if facts.Plain {
		settleDown()
	}
}

// settleDown leaves what is the caller's, now that the command has it: the session and the working
// directory, and after dropDelay the caller's descriptors. As PID 1 the standard descriptors stay,
// since other processes use them by /proc/1/fd.
//
//go:nosplit
func settleDown() {
	sys1(unix.SYS_CHDIR, text("/\x00"))
	if facts.Front != 0 {
		sys0(unix.SYS_SETSID)
	}
	due.drop = now() + dropDelay
}

// chooseGroup decides whether the command leads a process group of its own. It does where that is
// wanted, where finite is PID 1 or a session leader, and where there is no controlling terminal.
// Elsewhere the command stays in the caller's group, as if finite were not there, so that the job
// control of the caller's shell works.
//
//go:nosplit
func chooseGroup(wanted bool) {
	leader := facts.Front == 0 || frontLeads
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
