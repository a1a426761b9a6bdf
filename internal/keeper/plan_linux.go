//go:build amd64 || arm64

package keeper

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Plan says how the namespaces are made in which the keeper runs: by the clone that makes it, and
// by system calls that this child makes first. It is on memory that the front, the child and a
// planner share, at the same address. Addresses in it are good in each of them.
type Plan struct {
	Flags   uint64 // the namespaces that the clone makes (CLONE_NEW*)
	Clone   uint64 // a C string: what an error of the clone is about
	Count   int32  // of Calls
	Forks   bool   // one of the calls clones the keeper, and who makes it is done
	Foreign bool   // the keeper is in another PID namespace than the front
	Stays   bool   // the planner has something to do at the end, and is waited for
	Joined  bool   // the keeper joins a PID namespace: whom it leaves its PID 1 gets, not the front

	Fate   int32 // planOpen, and then once planTaken or planDropped
	Keeper int32 // the keeper's PID, where a call has cloned it
	Failed int32 // the number of the call that failed, from 1; 0: none has
	Errno  int32 // why; 0: it returned what it must not
	Said   bool  // the planner has said why

	Calls [maxCalls]Call
	used  uint32
	text  [textSize]byte
}

// What has become of a plan.
const (
	planOpen    = 0
	planTaken   = 1 // by the keeper, which starts the command
	planDropped = 2 // by the front: there is to be no command
)

// decide reports whether a plan that was open has this fate now.
//
//go:nosplit
func (p *Plan) decide(fate int32) bool { return atomic.CompareAndSwapInt32(&p.Fate, planOpen, fate) }

// Call is one system call.
type Call struct {
	Number uint64
	Args   [5]uint64
	Store  uint64 // the address of a word that takes the result; 0: none
	Kind   int64
	Words  uint64 // a C string: what an error is about
}

// Kinds of calls, by what may come of them.
const (
	MustCall = iota // an error ends the child, and the start
	MayCall         // an error is passed over
	SomeCall        // the result 0 ends it as well
	ForkCall        // clone(2): the child goes on, and is the keeper
)

const (
	maxCalls = 192
	textSize = 16 << 10
)

var planAt uintptr // the address of the plan; 0: there is none

//go:nosplit
func thePlan() *Plan { return (*Plan)(pointer(planAt)) }

// mapPlan makes room for the plan. It returns a negative errno if it fails.
//
//go:nosplit
func mapPlan() int {
	r := sys5(unix.SYS_MMAP, 0, unsafe.Sizeof(Plan{}), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS, ^uintptr(0))
	if r < 0 && r > -4096 {
		return r
	}
	planAt = uintptr(r)
	return 0
}

//go:nosplit
func callAt(i int32) *Call {
	return (*Call)(unsafe.Add(unsafe.Pointer(&thePlan().Calls), uintptr(i)*unsafe.Sizeof(Call{})))
}

// carryOut makes the calls of the plan, in the child that is to be the keeper, or that clones it.
// It returns in the keeper. Where a call fails the plan says which, and the child ends.
//
//go:nosplit
func carryOut() {
	p := thePlan()
	for i := int32(0); i < p.Count && i < maxCalls; i++ {
		c := callAt(i)
		r := sys5(uintptr(c.Number), uintptr(c.Args[0]), uintptr(c.Args[1]), uintptr(c.Args[2]), uintptr(c.Args[3]), uintptr(c.Args[4]))
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

// sayPlanFailed says which step was refused.
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

// addCall appends a call to the plan that must succeed.
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

// addWords puts "--unshare", a list, and a step into the plan, as one C string.
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

// addByte leaves out what there is no room for, and ends the text all the same.
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

// planByHeart makes the plan for namespaces that need no more than a few calls.
//
//go:nosplit
func planByHeart() int {
	if r := mapPlan(); r < 0 {
		return r
	}
	p := thePlan()
	p.Flags = plain.kinds
	p.Foreign = plain.kinds&unix.CLONE_NEWPID != 0
	p.Clone = uint64(addWords(plain.kindsText, ""))
	if plain.kinds&unix.CLONE_NEWNS != 0 {
		mounts := addWords(plain.kindsText, ": mount")
		addCall(mounts, unix.SYS_MOUNT, text("none\x00"), text("/\x00"), 0, unix.MS_REC|unix.MS_PRIVATE)
		if p.Foreign && sys4(unix.SYS_FACCESSAT, atWorkingDirectory, text("/proc\x00"), 0, 0) >= 0 {
			proc := text("proc\x00")
			addCall(mounts, unix.SYS_MOUNT, proc, text("/proc\x00"), proc, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
		}
	}
	if plain.kinds&unix.CLONE_NEWNET != 0 {
		words := addWords(plain.kindsText, ": loopback")
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
