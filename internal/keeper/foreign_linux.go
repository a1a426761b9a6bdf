//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A keeper may be in another PID namespace than its front. There the front and the senders of its
// signals have no PID that the keeper knows. The front has no PID for the command.

// hadForeground is the front's process group, where that had the terminal's foreground before the
// command; 0: it had not.
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

// wakeFD is an end of a socket pair by which the keeper continues a front that it has no PID for.
// Input there is a SIGCONT to the front (fcntl(2), F_SETSIG). -1: there is no pair.
var wakeFD int32

// wakeEnds are both ends of the pair of wakeFD: first the front's, then the keeper's.
var wakeEnds [2]int32

// wakeFront sends the front a SIGCONT.
//
//go:nosplit
func wakeFront() {
	if facts.Foreign {
		sys3(unix.SYS_WRITE, uintptr(wakeFD), text("x\x00"), 1)
	} else {
		kill(facts.Front, int32(unix.SIGCONT))
	}
}

// drainWakes empties the pair of wakeFD, so that there is room for more.
//
//go:nosplit
func drainWakes() {
	if facts.Foreign {
		sys3(unix.SYS_READ, uintptr(wakeFD), addr(&arrival.sent), unsafe.Sizeof(arrival.sent))
	}
}

// isWake reports whether an si_code is that of a SIGCONT by wakeFront.
//
//go:nosplit
func isWake(code int32) bool { return facts.Foreign && code > 0 && code < codeKernel }

// nameSender looks up the name of the sender of a signal.
//
//go:nosplit
func nameSender(s *Signal) {
	if s.PID > 0 && s.Code <= 0 && isOwnProc() {
		nameProcess(s, s.PID)
	}
}

// reapStrays reaps, as PID 1, children other than the keeper and the planner.
//
//go:nosplit
func reapStrays() {
	for range childrenAtOnce {
		pid := wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
		if pid <= 0 || pid == int(run.keeper) || pid == int(supervisor.pid) {
			return
		}
		if !forgetHelper(int32(pid)) && pid == int(thePlan().Keeper) {
			return // the keeper, before keeperBuilt has noted its PID
		}
		wait(unix.P_PID, uintptr(pid), unix.WEXITED|unix.WNOHANG)
	}
}

// findForeground notes whether the front's process group has the terminal's foreground, before the
// command gets it. A keeper in another PID namespace cannot tell the caller's groups apart.
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

// takeForeground gives the foreground back to the front's process group, where the group that has
// it is gone.
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
