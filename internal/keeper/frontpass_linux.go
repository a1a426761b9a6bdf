//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Ways of passing a signal on, as the front tells the keeper.
const (
	passedByFront  = 1 // the front passes it on
	leftToKeeper   = 2 // the keeper passes it on, or asks a supervisor
	keptByTerminal = 3 // no process does: the terminal has sent it to the command too
)

// mayPass reports whether signals can be taken: the command exists, and it is known how they are
// passed on. A signal that a supervisor has to be asked about would be overtaken by one that is
// passed on at once. The pending signal of prepareStop is not to be taken.
//
//go:nosplit
func mayPass() bool { return run.command != 0 && (facts.Plain || rules.given) && !run.ready }

// passSignals passes on the signals that have arrived, in order. Where the keeper has no room for a
// signal that is left to it, the rest waits.
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
// goes to the front's whole process group, and so to a command in that group as well.
//
//go:nosplit
func wayOf(s *Signal) int32 {
	s.Name = [16]byte{}
	switch {
	case s.Number == run.spare && s.Code == codeUser && s.PID == facts.Front: // from prepareStop
		run.spare = 0
		return 0
	case s.Number == int32(unix.SIGCONT) && (s.Code == codeTimer || isWake(s.Code) || s.PID == run.keeper):
		return 0 // from keepGoing or wakeFront
	case s.Code == codeKernel && run.grouped && inSet(terminalSet, s.Number) &&
		!(frontLeads && inSet(hangupSet, s.Number)):
		return keptByTerminal
	case facts.Foreign:
		if mayAskForEnd(s.Number) || rules.tellAll {
			nameSender(s)
		}
		return leftToKeeper
	case s.Number == int32(unix.SIGCONT) && run.grouped:
		offerCommand()
		return leftToKeeper // the keeper knows whether the command runs again
	case run.pidfd < 0 || ruleFor(s.Number) == RuleAsk || ruleFor(s.Number) == RuleDrop:
		return leftToKeeper
	}
	return passedByFront
}

// passSignal passes a signal on, and returns false where the keeper has no room for it.
//
//go:nosplit
func passSignal(s *Signal, how int32) bool {
	if how != passedByFront || mayAskForEnd(s.Number) || rules.tellAll { // the keeper ignores the rest
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

// offerCommand gives the terminal's foreground from the front's process group to the command's,
// where the command has left the front's group. A shell that continues the job gives it to the
// front's group. A command that is a shell itself has made a group of its own.
//
//go:nosplit
func offerCommand() {
	const flags = unix.O_RDWR | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC
	tty := sys4(unix.SYS_OPENAT, atWorkingDirectory, text("/dev/tty\x00"), flags, 0)
	if tty < 0 {
		return
	}
	terminal.fd = int32(tty)
	own := int32(sys1(unix.SYS_GETPGID, 0))
	its := int32(sys1(unix.SYS_GETPGID, uintptr(run.command)))
	if its > 0 && its != own && foreground() == own {
		setForeground(its)
	}
	terminal.fd = -1
	sys1(unix.SYS_CLOSE, uintptr(tty))
}
