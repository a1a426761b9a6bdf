//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The front of a keeper in namespaces. In another PID namespace that has no number for the front,
// and for who sends it signals; and the front has none for the command.

// hadForeground is the process group of the front, where that had the terminal's foreground before
// the command; 0: it had not.
var hadForeground int32

// beForeign prepares the front for a keeper in namespaces.
//
//go:nosplit
func beForeign() {
	if supervisor.pid != 0 {
		tell(supervisor.socket, KindPlanMade, run.keeper, 0)
	}
	facts.Foreign = thePlan().Foreign
	run.isInit = facts.Front == 1
	if facts.Foreign {
		sys3(unix.SYS_FCNTL, uintptr(wakeFD), unix.F_SETOWN, uintptr(facts.Front))
		sys3(unix.SYS_FCNTL, uintptr(wakeFD), fSetSignal, uintptr(unix.SIGCONT))
		sys3(unix.SYS_FCNTL, uintptr(wakeFD), unix.F_SETFL, unix.O_NONBLOCK|unix.O_ASYNC)
	}
}

const fSetSignal = 10 // F_SETSIG

// wakeFD is an end of a pair by which the keeper continues the front, which it has no number for:
// what comes there is a SIGCONT to the front (fcntl(2), F_SETSIG). -1: there is none.
var wakeFD int32

var wakeEnds [2]int32 // the front's and the keeper's

// wakeFront continues the front.
//
//go:nosplit
func wakeFront() {
	if facts.Foreign {
		sys3(unix.SYS_WRITE, uintptr(wakeFD), text("x\x00"), 1)
	} else {
		kill(facts.Front, int32(unix.SIGCONT))
	}
}

// drainWakes makes room for more.
//
//go:nosplit
func drainWakes() {
	if facts.Foreign {
		sys3(unix.SYS_READ, uintptr(wakeFD), addr(&arrival.sent), unsafe.Sizeof(arrival.sent))
	}
}

// isWake reports whether an si_code says that the keeper has continued the front.
//
//go:nosplit
func isWake(code int32) bool { return facts.Foreign && code > 0 && code < codeKernel }

// nameSender looks up the name of who has sent a signal.
//
//go:nosplit
func nameSender(s *Signal) {
	if s.PID > 0 && s.Code <= 0 && isOwnProc() {
		nameProcess(s, s.PID)
	}
}

// reapStrays reaps, as PID 1, who is not the keeper.
//
//go:nosplit
func reapStrays() {
	for range childrenAtOnce {
		pid := wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
		if pid <= 0 || pid == int(run.keeper) || pid == int(supervisor.pid) {
			return
		}
		if !forgetHelper(int32(pid)) && pid == int(thePlan().Keeper) {
			return // the keeper, which is not known yet
		}
		wait(unix.P_PID, uintptr(pid), unix.WEXITED|unix.WNOHANG)
	}
}

// findForeground notes whether the front's group has the foreground of the terminal, before it is
// the command's: a keeper in another PID namespace cannot tell the caller's groups apart.
//
//go:nosplit
func findForeground() {
	terminal.fd = -1
	findTerminal()
	if own := int32(sys1(unix.SYS_GETPGID, 0)); terminal.fd >= 0 && foreground() == own {
		hadForeground = own
	}
	closeFD(terminal.fd)
	terminal.fd = -1
}

// takeForeground gives the foreground back to the front's group, where the group that has it is
// gone.
//
//go:nosplit
func takeForeground() {
	if !facts.Foreign || hadForeground == 0 {
		return
	}
	findTerminal()
	if terminal.fd < 0 {
		return
	}
	if group := foreground(); group > 0 && group != hadForeground && kill(-group, 0) == errNoProcess {
		setForeground(hadForeground)
	}
}
