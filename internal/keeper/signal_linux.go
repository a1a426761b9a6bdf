//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sets of signals: bit n-1 is signal n, as in the kernel.
const (
	everySignal = ^uint64(0)

	// endSet has the stop signals: they ask for an end.
	endSet = uint64(1)<<(unix.SIGHUP-1) | 1<<(unix.SIGINT-1) | 1<<(unix.SIGQUIT-1) | 1<<(unix.SIGTERM-1)

	// terminalSet has what the kernel sends for a terminal, to a whole process group.
	terminalSet = endSet&^(1<<(unix.SIGTERM-1)) | 1<<(unix.SIGCONT-1) | 1<<(unix.SIGTSTP-1) |
		1<<(unix.SIGTTIN-1) | 1<<(unix.SIGTTOU-1) | 1<<(unix.SIGWINCH-1)

	// hangupSet has what of terminalSet the kernel sends to a session leader alone, on a hangup.
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

// inSet reports whether a set has a signal.
//
//go:nosplit
func inSet(set uint64, number int32) bool { return set>>(uint32(number-1)&63)&1 != 0 }

// action is struct sigaction, as rt_sigaction(2) has it.
type action struct {
	handler, _, _ uintptr
	_             uint64 // mask
}

const ignored = 1 // SIG_IGN

// inherited is what the process was started with. The command starts with the same.
var inherited struct {
	mask  uint64
	child action // the disposition of SIGCHLD
}

var (
	allSignals    = everySignal
	childSignal   = childOnly
	defaultAction action // SIG_DFL
	scratchAction action
)

// blockSignals blocks every signal, and notes which stop signals are ignored, or with all set which
// signals are. It sets SIGCHLD to its default: where SIGCHLD is ignored, the kernel reaps, and
// statuses are lost.
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

// signalDescriptor makes a signalfd for a set of signals, which must be blocked.
//
//go:nosplit
func signalDescriptor(set *uint64) int32 {
	return high(sys4(unix.SYS_SIGNALFD4, ^uintptr(0), addr(set), 8, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK))
}

// arrival is the signal that was taken last.
var arrival struct {
	info   unix.SignalfdSiginfo // as a signalfd returned it
	signal Signal
	sent   [128]byte // siginfo_t, of rt_sigtimedwait(2) and for pidfd_send_signal(2)
}

// nextSignal takes the next signal into arrival. It returns false where there is none.
//
//go:nosplit
func nextSignal() bool {
	const size = unsafe.Sizeof(arrival.info)
	if sys3(unix.SYS_READ, uintptr(signalFD), addr(&arrival.info), size) != int(size) {
		return false
	}
	i, s := &arrival.info, &arrival.signal
	s.Number, s.Code, s.PID, s.UID, s.Value = int32(i.Signo), i.Code, int32(i.Pid), i.Uid, i.Ptr
	return true
}

// asksForEnd reports whether a signal is a stop signal that was not ignored at the start.
//
//go:nosplit
func asksForEnd(number int32) bool { return inSet(endSet&^facts.Ignored, number) }

// isRequest reports whether a signal that the command gets is a request to stop. SIGHUP is none,
// since programs reload on it.
//
//go:nosplit
func isRequest(number int32) bool { return number != int32(unix.SIGHUP) && asksForEnd(number) }
