//go:build amd64 || arm64

package keeper

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Plan says how the namespaces of the keeper are made: by the clone that makes the keeper, and by
// system calls that the keeper makes first. The front, the keeper and a planner share its memory at
// the same address. So an address in it is good in each of them.
type Plan struct {
	Flags   uint64 // the namespaces that the clone makes (CLONE_NEW*)
	Clone   uint64 // a C string for an error of the clone
	Count   int32  // of Calls
	Forks   bool   // one of the calls clones the keeper, and the process that makes it ends
	Foreign bool   // the keeper is in another PID namespace than the front
	Stays   bool   // the planner has something to do at the end, and is waited for
	Joined  bool   // the keeper joins a PID namespace: PID 1 there inherits its orphans, not the front

	Fate   int32 // planOpen, and later planTaken or planDropped
	Keeper int32 // the keeper's PID, where a call has cloned the keeper
	Failed int32 // the number of the call that failed, from 1; 0: none has
	Errno  int32 // the errno of that call; 0: it returned 0 and must not
	Said   bool  // the planner has said why there is no keeper

	Calls [maxCalls]Call
	used  uint32
	text  [textSize]byte
}

// Fates of a plan.
const (
	planOpen    = 0
	planTaken   = 1 // the keeper has carried it out, and starts the command
	planDropped = 2 // the front has dropped it: there is to be no command
)

// decide gives an open plan its fate. It returns false where the plan has one already.
//
//go:nosplit
func (p *Plan) decide(fate int32) bool { return atomic.CompareAndSwapInt32(&p.Fate, planOpen, fate) }

// Call is one system call.
type Call struct {
	Number uint64
	Args   [5]uint64
	Store  uint64 // the address of a word that takes the result; 0: none
	Kind   int64
	Words  uint64 // a C string for an error of the call
}

// Kinds of calls, by what they may return.
const (
	MustCall = iota // an error fails the plan
	MayCall         // an error is ignored
	SomeCall        // an error or the result 0 fails the plan
	ForkCall        // clone(2): the child goes on, and is the keeper
)

const (
	maxCalls = 192
	textSize = 16 << 10
)

var planAt uintptr // the address of the plan; 0: there is none

// thePlan is the plan at planAt.
//
//go:nosplit
func thePlan() *Plan { return (*Plan)(pointer(planAt)) }

// mapPlan makes the shared memory of the plan. It returns a negative errno if it fails.
//
//go:nosplit
func mapPlan() int {
	const shared = unix.MAP_SHARED | unix.MAP_ANONYMOUS
	r := sys5(unix.SYS_MMAP, 0, unsafe.Sizeof(Plan{}), unix.PROT_READ|unix.PROT_WRITE, shared, ^uintptr(0))
	if r < 0 && r > -4096 {
		return r
	}
	planAt = uintptr(r)
	return 0
}

// callAt is the i-th call of the plan.
//
//go:nosplit
func callAt(i int32) *Call {
	return (*Call)(unsafe.Add(unsafe.Pointer(&thePlan().Calls), uintptr(i)*unsafe.Sizeof(Call{})))
}

// carryOut makes the calls of the plan, in the child that becomes the keeper or that clones it. It
// returns in the keeper. Where a call fails, the plan says which, and the child ends.
//
//go:nosplit
func carryOut() {
	p := thePlan()
	for i := int32(0); i < p.Count && i < maxCalls; i++ {
		c := callAt(i)
		a := &c.Args
		r := sys5(uintptr(c.Number),
			uintptr(a[0]), uintptr(a[1]), uintptr(a[2]), uintptr(a[3]), uintptr(a[4]))
		if r < 0 && c.Kind != MayCall || r == 0 && c.Kind == SomeCall {
			p.Errno, p.Failed = int32(-r), i+1
			exit(statusFailure)
		}
		if c.Kind == ForkCall && r > 0 {
			p.Keeper = int32(r)
			exit(0)
		}
		if c.Store != 0 && r >= 0 {
			setWord(uintptr(c.Store), 0, uintptr(r))
		}
	}
}

// sayPlanFailed says which step of a plan failed.
//
//go:nosplit
func sayPlanFailed(words uintptr, errno int) {
	startLine()
	put("cannot start the command: ")
	for a := words; a != 0 && byteAt(a) != 0; a++ {
		putByte(byteAt(a))
	}
	put(": ")
	if errno == 0 {
		put("the process that starts it is gone")
	} else {
		putError(errno)
	}
	say()
	awaitHelpers()
}

// addCall appends a call to the plan. Its error fails the plan.
//
//go:nosplit
func addCall(words uintptr, number, a, b, c, d uintptr) {
	p := thePlan()
	if p.Count >= maxCalls {
		return
	}
	call := callAt(p.Count)
	call.Number, call.Kind, call.Words = uint64(number), MustCall, uint64(words)
	call.Args = [5]uint64{uint64(a), uint64(b), uint64(c), uint64(d)}
	p.Count++
}

// addWords puts "--unshare", a list and a step into the plan, as one C string.
//
//go:nosplit
func addWords(list uintptr, step string) uintptr {
	const option = "--unshare "
	begin := planAt + unsafe.Offsetof(Plan{}.text) + uintptr(thePlan().used)
	at := begin
	for i := 0; i < len(option); i++ {
		at = addByte(at, option[i])
	}
	for a := list; byteAt(a) != 0; a++ {
		at = addByte(at, byteAt(a))
	}
	for i := 0; i < len(step); i++ {
		at = addByte(at, step[i])
	}
	at = addByte(at, 0)
	thePlan().used += uint32(at - begin)
	return begin
}

// addByte writes a byte of a C string into the plan, and returns where the next one goes. A byte
// that there is no room for is left out, but the string ends in a zero byte.
//
//go:nosplit
func addByte(at uintptr, c byte) uintptr {
	if at >= planAt+unsafe.Offsetof(Plan{}.text)+textSize {
		at--
		c = 0
	}
	*(*byte)(pointer(at)) = c
	return at + 1
}

// planByHeart makes the plan where a list of namespaces says all about them. It returns a negative
// errno if it fails.
//
//go:nosplit
func planByHeart() int {
	if r := mapPlan(); r < 0 {
		return r
	}
	p := thePlan()
	p.Flags = plain.namespaces
	p.Foreign = plain.namespaces&unix.CLONE_NEWPID != 0
	p.Clone = uint64(addWords(plain.namespaceText, ""))
	if plain.namespaces&unix.CLONE_NEWNS != 0 {
		mounts := addWords(plain.namespaceText, ": mount")
		addCall(mounts, unix.SYS_MOUNT, text("none\x00"), text("/\x00"), 0, unix.MS_REC|unix.MS_PRIVATE)
		if p.Foreign && sys4(unix.SYS_FACCESSAT, atWorkingDirectory, text("/proc\x00"), 0, 0) >= 0 {
			proc := text("proc\x00")
			const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
			addCall(mounts, unix.SYS_MOUNT, proc, text("/proc\x00"), proc, flags)
		}
	}
	if plain.namespaces&unix.CLONE_NEWNET != 0 {
		words := addWords(plain.namespaceText, ": loopback")
		addCall(words, unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0, 0)
		socket := callAt(p.Count - 1)
		addCall(words, unix.SYS_IOCTL, 0, unix.SIOCSIFFLAGS, addr(&loopback), 0)
		up := callAt(p.Count - 1)
		socket.Store = uint64(addr(&up.Args))
		loopback.name, loopback.flags = [16]byte{'l', 'o'}, unix.IFF_UP|unix.IFF_RUNNING
	}
	return 0
}

// loopback is struct ifreq (netdevice(7)).
var loopback struct {
	name  [16]byte
	flags uint16
	_     [22]byte
}
