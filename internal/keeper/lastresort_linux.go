//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// By heart, signals go to children, without a supervisor. As PID 1 kill(-1) does that. Elsewhere
// the kernel's list of children is read. Where there is no list, waitid(2) is asked about each PID.
// The children of a child that dies become children of this process, and get the signal in the next
// round. Older children, which are from before finite was executed, get none.

const (
	nearNumbers = 1 << 15    // PIDs from this process's own on: most children have one of these
	allNumbers  = 1 << 22    // PIDs that there can be (PID_MAX_LIMIT)
	farSlice    = 1 << 15    // PIDs beyond the near ones that are tried in one round
	giveUpTime  = 5 * second // from the first SIGKILL on
	heartRounds = 1000       // rounds without a pause, against processes that fork meanwhile
)

// maxOlder is how many older children can be known.
const maxOlder = 64

var farNumber = nearNumbers // where the next slice begins, from this process's PID on

// isOlder reports whether a child was there before finite was executed.
//
//go:nosplit
func isOlder(pid int) bool {
	for i := int32(0); i < facts.OlderCount; i++ {
		if int(*olderAt(i)) == pid {
			return true
		}
	}
	return false
}

// olderAt is the i-th older child.
//
//go:nosplit
func olderAt(i int32) *int32 { return (*int32)(pointer(addr(&facts.Older) + uintptr(i)*4)) }

// findOlder notes the children that are there at the start.
//
//go:nosplit
func findOlder() {
	if wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == errNoChild {
		return
	}
	own := sys0(unix.SYS_GETPID)
	for i := -nearNumbers; i < nearNumbers && facts.OlderCount < maxOlder; i++ {
		if pid := own + i; pid > 1 && isChild(pid) {
			*olderAt(facts.OlderCount) = int32(pid)
			facts.OlderCount++
		}
	}
}

// signalEverything sends a signal to every process that it can find, but to this one, the
// supervisor and older children. It reports whether there is any.
//
//go:nosplit
func signalEverything(sig int32) bool {
	if facts.Init && facts.OlderCount == 0 {
		return kill(-1, sig) != errNoProcess
	}
	if wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == errNoChild {
		return false
	}
	if openChildren(); childrenFD >= 0 && signalListed(sig) {
		return true
	}
	own := sys0(unix.SYS_GETPID)
	found := signalChildren(own+1, own+nearNumbers, sig)
	if !found || farNumber != nearNumbers {
		found = signalChildren(own+farNumber, own+farNumber+farSlice, sig) || found
		if farNumber += farSlice; farNumber >= allNumbers {
			farNumber = nearNumbers
		}
	}
	return found
}

// killingByHeart says that SIGKILL goes to every child by heart, since a supervisor cannot see
// them, or is late.
var killingByHeart bool

// childrenFD is the kernel's list of this process's children (proc_tid_children(5)); -1: there is
// none.
var (
	childrenFD int32
	children   [4096]byte
)

// openChildren opens childrenFD, unless /proc is that of another PID namespace.
//
//go:nosplit
func openChildren() {
	if childrenFD >= 0 || !isOwnProc() {
		return
	}
	childrenFD = high(openInProc("thread-self/children\x00", 0))
}

// signalListed signals the children on the kernel's list, as many as one read returns. waitid(2)
// tells whether each is a child, since the /proc of another PID namespace has other PIDs.
//
//go:nosplit
func signalListed(sig int32) (found bool) {
	n := sys4(unix.SYS_PREAD64, uintptr(childrenFD), addr(&children), unsafe.Sizeof(children), 0)
	pid := int32(0)
	for i := 0; i < n; i++ {
		c := byteAt(addr(&children) + uintptr(i))
		if c >= '0' && c <= '9' {
			pid = pid*10 + int32(c-'0')
			continue
		}
		if pid > 1 && isChild(int(pid)) && pid != supervisor.pid && !isOlder(int(pid)) && !isBusyHelper(pid) {
			found = true
			kill(pid, sig)
		}
		pid = 0
	}
	return found
}

// signalChildren signals the children that have a PID of a range, modulo allNumbers.
//
//go:nosplit
func signalChildren(first, end int, sig int32) (found bool) {
	for n := first; n < end; n++ {
		pid := n & (allNumbers - 1)
		if pid > 1 && isChild(pid) && int32(pid) != supervisor.pid && !isOlder(pid) {
			found = true
			kill(int32(pid), sig)
		}
	}
	return found
}

// endEverything kills what is left until no process is, in the place of a keeper that has died. It
// returns false where it gave up after a time.
//
//go:nosplit
func endEverything(patience int64) bool {
	for until := now() + patience; now() < until; {
		for wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG) > 0 {
			forgetHelper(childChange.pid)
		}
		if wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT) == errNoChild {
			return true
		}
		if !signalEverything(int32(unix.SIGKILL)) && facts.OlderCount > 0 && farNumber == nearNumbers {
			return true // only older children are left
		}
		if childrenFD < 0 {
			pause(millisecond)
		}
	}
	return false
}
