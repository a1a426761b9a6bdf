//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// continueCommand sends SIGCONT to a stopped command, for one stop signal maxContinues times at
// once, then every continuePeriod, lateContinues times. Nothing is continued once SIGKILL was due:
// the kill of a tree stops its processes first.
//
//go:nosplit
func continueCommand() {
	if facts.KilledAt != 0 {
		return
	}
	continues++
	switch {
	case continues <= maxContinues:
		sendContinue()
	case continues <= maxContinues+lateContinues:
		due.again = earlier(due.again, now()+continuePeriod)
	}
}

// sendContinue sends SIGCONT to the command. Where the command leads a process group, its children
// may have been stopped with it, and are continued as well.
//
//go:nosplit
func sendContinue() {
	if facts.Group && int32(sys1(unix.SYS_GETPGID, uintptr(facts.Command))) == facts.Command {
		kill(-facts.Command, int32(unix.SIGCONT))
	}
	signalCommand(int32(unix.SIGCONT))
}

// maxContinues is how often a stopped command is continued at once so that it can act on a stop
// signal. SIGTSTP, SIGTTIN and SIGTTOU may be pending, and the handler of each may stop the command
// again. A command that stops itself more often is continued every continuePeriod, lateContinues
// times: the stop signal may reach it later, since a front tells of a signal before it sends it.
// A supervisor counts its own SIGCONTs.
const (
	maxContinues   = 4
	lateContinues  = 10
	continuePeriod = second
)

var (
	continues int32 // how often the command was sent SIGCONT since the last stop signal
	endAsked  bool  // a stop signal has come, other than from the terminal, whose user may stop the job
)

// signalCommand sends the command a signal of finite's own, by its pidfd or PID.
//
//go:nosplit
func signalCommand(sig int32) {
	if facts.Command == 0 || lastEnd.change.Code != 0 {
		return
	}
	if facts.Pidfd < 0 || sendByPidfd(facts.Pidfd, sig) == -int(unix.EPERM) {
		kill(facts.Command, sig) // the PID is the command's, which is not reaped
	}
}

// takeSignals takes the signals that have arrived at a keeper that is PID 1. While a supervisor is
// being started for a command that has ended, signals stay pending for it.
//
//go:nosplit
func takeSignals() {
	if !readsSignals() {
		return
	}
	for range signalsAtOnce {
		if !nextSignal() {
			return
		}
		s := &arrival.signal
		isContinue := s.Number == int32(unix.SIGCONT)
		if isContinue && s.Code == codeTimer {
			continue // keepGoing's timer
		}
		if isContinue && facts.Foreign && s.Code == codeUser && s.PID == 0 {
			continue // from outside this PID namespace: the front continues a keeper that was stopped
		}
		if facts.Front != 0 && s.Code == codeKernel && inSet(terminalSet, s.Number) {
			continue // the terminal has sent it to the front as well
		}
		if lastEnd.change.Code == 0 {
			noteSignal(s, true)
		}
		signalPassed(s, passByRule(s))
	}
}

// passByRule passes a signal on as the rules say, and reports whether it did. Where a supervisor
// decides, the supervisor passes the signal on.
//
//go:nosplit
func passByRule(s *Signal) bool {
	as := ruleFor(s.Number)
	if lastEnd.change.Code != 0 || as == RuleAsk || as == RuleDrop {
		return false
	}
	return passAs(facts.Pidfd, facts.Command, s, as) >= 0
}

// readsSignals reports whether the keeper takes signals. They stay pending while it is not known
// how they are passed on.
//
//go:nosplit
func readsSignals() bool {
	if !facts.Init || facts.Command == 0 && !facts.Paused || !facts.Plain && !rules.given {
		return false
	}
	return supervisor.spoke || facts.Ended.Code == 0 && (facts.Plain || heart.calm)
}

// noteSignal notes the first signal that asks for an end, before the signal is passed on. With says
// set it writes a line about that.
//
//go:nosplit
func noteSignal(s *Signal, says bool) {
	if facts.Ended.Code != 0 || !isRequest(s.Number) || facts.Stop.Number != 0 || facts.DeadlineAt != 0 {
		return
	}
	facts.Stop, facts.StopAt = *s, now()
	continues = 0
	if !says || !facts.Plain || !facts.Group { // the caller of a job knows
		return
	}
	startLine()
	put("stop requested by ")
	putSignal(s.Number)
	putSender(s, false)
	say()
}

// signalPassed does what follows from a signal, whether it was passed on or not.
//
//go:nosplit
func signalPassed(s *Signal, passed bool) {
	if passed {
		facts.Forwarded++
	} else {
		facts.Undelivered++
	}
	if facts.Ended.Code == 0 && facts.Command != 0 {
		if inSet(endSet, s.Number) {
			endAsked, continues = endAsked || s.Code != codeKernel, 0
			if facts.Stopped {
				continueCommand()
			}
		}
		if s.Number == int32(unix.SIGCONT) {
			offerTerminal()
		}
	}
	if passed && !rules.tellAll && !mayAskForEnd(s.Number) && rules.given {
		return // the supervisor does not want to hear of it
	}
	packet.message = Message{Signal: *s}
	if passed {
		packet.message.Value = 1
	}
	told := tellSupervisor(KindSignalled)
	if !told && !passed && rules.given && lastEnd.change.Code == 0 && ruleFor(s.Number) == RuleAsk {
		pass(facts.Pidfd, facts.Command, s) // no supervisor can decide
	}
}

// pass sends a signal on to the command as it arrived, with its value where the kernel accepts
// siginfo (pidfd_send_signal(2)). Without a pidfd it sends by PID, which is safe as long as the
// command is not reaped.
//
//go:nosplit
func pass(pidfd, command int32, s *Signal) int {
	if command <= 0 { // kill(2) would send it to a process group, or to everybody
		return errNoProcess
	}
	if pidfd < 0 {
		return kill(command, s.Number)
	}
	r := sendInfo(pidfd, s, 0)
	if r == errNoSystem || r == -int(unix.EPERM) {
		r = kill(command, s.Number) // where only a seccomp filter has refused the other call
	}
	return r
}

// sendInfo sends a signal by a pidfd, with the sender's siginfo where the kernel accepts that from
// another process.
//
//go:nosplit
func sendInfo(pidfd int32, s *Signal, flags uintptr) int {
	info := uintptr(0)
	if isClaimed(s) {
		info = addr(&arrival.sent)
		*(*int32)(pointer(info)) = s.Number
		*(*int32)(pointer(info + 4)) = 0
		*(*int32)(pointer(info + 8)) = s.Code
		*(*int32)(pointer(info + 16)) = s.PID
		*(*uint32)(pointer(info + 20)) = s.UID
		*(*uint64)(pointer(info + 24)) = s.Value
	}
	return sys4(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(pidfd), uintptr(s.Number), info, flags)
}

// passAs passes a signal on under the number as, to the command or its process group.
//
//go:nosplit
func passAs(pidfd, command int32, s *Signal, as uint8) int {
	if int32(as) == s.Number && !rules.group {
		return pass(pidfd, command, s)
	}
	passedOn = *s
	passedOn.Number = int32(as)
	if !rules.group {
		return pass(pidfd, command, &passedOn)
	}
	r := errInvalid
	if pidfd >= 0 {
		r = sendInfo(pidfd, &passedOn, pidfdProcessGroup) // Linux 6.9
	}
	if r == errInvalid || r == errNoSystem || r == -int(unix.EPERM) {
		if int32(sys1(unix.SYS_GETPGID, uintptr(command))) != command {
			return pass(pidfd, command, &passedOn)
		}
		r = kill(-command, passedOn.Number)
	}
	if r == errNoProcess { // the command has left its group
		return pass(pidfd, command, &passedOn)
	}
	return r
}

const pidfdProcessGroup = 4 // PIDFD_SIGNAL_PROCESS_GROUP

// passedOn is a signal under the number that it is passed on under.
var passedOn Signal
