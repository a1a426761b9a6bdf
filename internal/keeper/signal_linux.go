//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sets of signals: bit n-1 is signal n, as in the kernel.
const (
	everySignal = ^uint64(0)

	// endSet asks for an end.
	endSet = uint64(1)<<(unix.SIGHUP-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGTERM-1)

	// terminalSet is what the kernel sends for a terminal, to the whole group.
	terminalSet = endSet&^(1<<(unix.SIGTERM-1)) | 1<<(unix.SIGCONT-1) | 1<<(unix.SIGTSTP-1) | 1<<(unix.SIGTTIN-1) |
		1<<(unix.SIGTTOU-1) | 1<<(unix.SIGWINCH-1)

	// hangupSet is what of it comes to a session leader alone.
	hangupSet = uint64(1)<<(unix.SIGHUP-1) | 1<<(unix.SIGCONT-1)

	childOnly = uint64(1) << (unix.SIGCHLD - 1)
)

// Values of si_code (sigaction(2)).
const (
	codeUser   = 0
	codeTimer  = -2
	codeTkill  = -6
	codeKernel = 0x80
)

//go:nosplit
func inSet(set uint64, number int32) bool { return set>>(uint32(number-1)&63)&1 != 0 }

// action is struct sigaction, as rt_sigaction(2) has it.
type action struct {
	handler, _, _ uintptr
	_             uint64 // mask
}

const ignored = 1 // SIG_IGN

// inherited is what the process was started with, and the command is to start with.
var inherited struct {
	mask  uint64
	child action // the disposition of SIGCHLD
}

var (
	allSignals    = everySignal
	childSignal   = childOnly
	defaultAction action // SIG_DFL
	scratchAction action

	signalFD int32 // a signalfd for everything but SIGCHLD
)

// blockSignals blocks every signal, and notes which stop signals, or which of all, are ignored. It
// has SIGCHLD neither ignored nor handled: where it is ignored, the kernel reaps, and statuses are
// lost.
//
//go:nosplit
func blockSignals(all bool) {
	sys4(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, addr(&allSignals), addr(&inherited.mask), 8)
	sys4(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), addr(&defaultAction), addr(&inherited.child), 8)
	facts.Mask = inherited.mask
	if inherited.child.handler == ignored {
		facts.Ignored = childOnly
	}
	for n := int32(1); n <= 64; n++ {
		if all && n != int32(unix.SIGCHLD) || inSet(endSet, n) {
			sys4(unix.SYS_RT_SIGACTION, uintptr(n), 0, addr(&scratchAction), 8)
			if scratchAction.handler == ignored {
				facts.Ignored |= 1 << (uint32(n-1) & 63)
			}
		}
	}
}

// signalDescriptor makes a signalfd for a set, which must be blocked.
//
//go:nosplit
func signalDescriptor(set *uint64) int32 {
	return high(sys4(unix.SYS_SIGNALFD4, ^uintptr(0), addr(set), 8, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK))
}

var arrival struct {
	info   unix.SignalfdSiginfo
	signal Signal
	sent   [128]byte // siginfo_t
}

// nextSignal takes the next signal into arrival.
//
//go:nosplit
func nextSignal() bool {
	if sys3(unix.SYS_READ, uintptr(signalFD), addr(&arrival.info), unsafe.Sizeof(arrival.info)) != int(unsafe.Sizeof(arrival.info)) {
		return false
	}
	i, s := &arrival.info, &arrival.signal
	s.Number, s.Code, s.PID, s.UID, s.Value = int32(i.Signo), i.Code, int32(i.Pid), i.Uid, i.Ptr
	return true
}

// pass sends a signal on to the command as it arrived: with its value, where the kernel takes
// siginfo from another process (pidfd_send_signal(2)), and by number where there is no pidfd, which
// is right while the command is unreaped.
//
//go:nosplit
func pass(pidfd, command int32, s *Signal) int {
	if pidfd < 0 {
		return kill(command, s.Number)
	}
	r := sendInfo(pidfd, s, 0)
	if r == errNoSystem || r == -int(unix.EPERM) {
		r = kill(command, s.Number) // refused by a filter, or truly: kill(2) tells
	}
	return r
}

//go:nosplit
func sendInfo(pidfd int32, s *Signal, flags uintptr) int {
	info := uintptr(0)
	if s.Code < codeUser && s.Code != codeTkill {
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

// asksForEnd reports whether a signal is a request to stop: not one that was ignored at the start.
//
//go:nosplit
func asksForEnd(number int32) bool { return inSet(endSet&^facts.Ignored, number) }

// isRequest reports whether a signal that the command gets is a request to stop: SIGHUP is none,
// since programs reload on it.
//
//go:nosplit
func isRequest(number int32) bool { return number != int32(unix.SIGHUP) && asksForEnd(number) }

// putSignal writes the name of a signal that asks for an end, or is sent by the terminal.
//
//go:nosplit
func putSignal(number int32) {
	switch unix.Signal(number) {
	case unix.SIGHUP:
		put("SIGHUP")
	case unix.SIGINT:
		put("SIGINT")
	case unix.SIGQUIT:
		put("SIGQUIT")
	case unix.SIGTERM:
		put("SIGTERM")
	default:
		put("signal ")
		putNumber(int64(number))
	}
}

// rules are what signals are passed on as. Without a supervisor's word each is passed on as it is,
// where the arguments are plain, and left to the supervisor, where they are not.
var rules struct {
	given   bool
	group   bool // to the command's process group
	tellAll bool // the supervisor is told of each

	eachChild bool // and of each child that is reaped
	table     [64]uint8
}

//go:nosplit
func ruleFor(number int32) uint8 {
	switch {
	case number < 1 || number > 64:
		return RuleDrop
	case rules.given:
		return *(*uint8)(pointer(addr(&rules.table) + uintptr(number-1)))
	case facts.Plain:
		return uint8(number)
	}
	return RuleAsk
}

// mayAskForEnd reports whether a signal, or what it is passed on as, is one that asks for an end.
//
//go:nosplit
func mayAskForEnd(number int32) bool {
	return inSet(endSet, number) || inSet(endSet, int32(ruleFor(number)))
}

// passAs passes a signal on under another number, or its own.
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

var passedOn Signal
