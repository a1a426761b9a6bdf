//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Descriptors, -1 where there is none. Every variable of this package that changes is zero in the
// program's file. So the memory of what a run does not need stays untouched.
var (
	childFD  int32 // a signalfd for SIGCHLD
	signalFD int32 // a signalfd for every other signal
	toFront  int32 // the keeper's end of the pair that it shares with the front
	toKeeper int32 // the front's end of that pair
	attached attachment
)

var entered bool // begin was called

const everythingButChild = everySignal &^ childOnly

// callersSignals is the set of signalFD.
var callersSignals = everythingButChild

// begin is where the program begins, at sp. It returns where the Go runtime is to find its
// arguments, in the processes where that starts: a supervisor, a planner, and a process that runs
// no command.
//
//go:nosplit
func begin(sp uintptr) uintptr {
	entered = true
	childFD, signalFD, childrenFD, procFD = -1, -1, -1, -1
	toFront, toKeeper, supervisor.socket, run.pidfd = -1, -1, -1, -1
	run.earlyFD, wakeFD, wakeEnds = -1, -1, [2]int32{-1, -1}
	what := parse(sp)
	if what == needsOld {
		return sp
	}
	if plain.joins {
		sealProgram()
	}
	blockSignals(what != isPlain)
	openSignals()
	facts.Directory, facts.Pidfd, facts.ParentFD, facts.Cgroup, facts.Procs = -1, -1, -1, -1, -1
	terminal.fd, command.watch = -1, [2]int32{-1, -1}
	facts.Plain, facts.Grace = what == isPlain, defaultGrace
	plain.commandEnv = plain.envp
	if facts.Plain {
		facts.Timeout, facts.Grace = plain.timeout, plain.grace
		dropPlain()
	} else {
		facts.Parent = int32(sys0(unix.SYS_GETPPID))
		if facts.Parent > 0 {
			facts.ParentFD = high(sys2(unix.SYS_PIDFD_OPEN, uintptr(facts.Parent), 0))
		}
	}
	endEarly()
	findOlder()
	openProc()
	if (plain.planned || plain.namespaces != 0) && makePlanFunc() {
		return runtimeFor(sp)
	}
	own := int32(sys0(unix.SYS_GETPID))
	if own != 1 || planAt != 0 {
		facts.Front = own
		frontLeads = int32(sys1(unix.SYS_GETSID, 0)) == own
		splitOff()
	}
	facts.Keeper = int32(sys0(unix.SYS_GETPID))
	facts.Init = facts.Keeper == 1
	keepFunc() // it returns in a supervisor
	return runtimeFor(sp)
}

// runtimeFor prepares the start of the Go runtime.
//
//go:nosplit
func runtimeFor(sp uintptr) uintptr {
	if copied := prepareRuntime(); copied != 0 {
		return copied
	}
	return sp
}

// openSignals opens the signalfds.
//
//go:nosplit
func openSignals() {
	childFD = signalDescriptor(&childSignal)
	signalFD = signalDescriptor(&callersSignals)
	if childFD < 0 || signalFD < 0 {
		fail(int(min(childFD, signalFD)))
	}
}

// fail ends finite before there is a command, because a system call has failed.
//
//go:nosplit
func fail(errno int) {
	startLine()
	put("cannot run ")
	if plain.argv != 0 {
		putQuoted(wordAt(plain.argv, 0))
	} else { // a supervisor would have to parse the arguments
		put("the command")
	}
	put(": ")
	failFor(errno)
}

// failFor ends finite with the line that was begun, and an errno.
//
//go:nosplit
func failFor(errno int) {
	putError(errno)
	say()
	endPlanner(1)
	awaitHelpers()
	exit(statusFailure)
}

// splitOff makes the keeper, a child, and turns this process into the front. It returns in the
// keeper.
//
//go:nosplit
func splitOff() {
	sys2(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	facts.NoSubreaper = sys2(unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1) < 0
	if r := makePair(); r < 0 {
		fail(r)
	}
	namespaces := uintptr(0)
	if planAt != 0 {
		if thePlan().Foreign {
			if r := socketPair(unix.SOCK_STREAM, &wakeEnds); r < 0 {
				fail(r)
			}
		}
		namespaces = uintptr(thePlan().Flags)
		findForeground()
	}
	keeper := fork(namespaces | uintptr(unix.SIGCHLD))
	if keeper < 0 && namespaces != 0 {
		sayPlanFailed(uintptr(thePlan().Clone), keeper)
		endPlanner(1)
		exit(statusFailure)
	}
	if keeper < 0 {
		fail(keeper)
	}
	if keeper > 0 {
		toKeeper = newPair[0]
		closeFD(newPair[1])
		closeFD(wakeEnds[1])
		wakeFD = wakeEnds[0]
		frontFunc(int32(keeper)) // it does not return
	}
	toFront, wakeFD = newPair[1], wakeEnds[1]
	closeFD(newPair[0])
	closeFD(wakeEnds[0])
	facts.OlderCount = 0 // they are children of the front
	if planAt != 0 {
		enterPlan()
	}
	hideName()
}

// hideName takes the name finite from the keeper, so that pkill(1) and the like by that name do not
// find it.
//
//go:nosplit
func hideName() {
	sys2(unix.SYS_PRCTL, unix.PR_SET_NAME, text("keeper\x00"))
	const name, other = "finite", "keeper"
	base := plain.program // where the last element of the path begins
	for a := base; a != 0 && byteAt(a) != 0; a++ {
		if byteAt(a) == '/' {
			base = a + 1
		}
	}
	for a := base; a != 0 && byteAt(a) != 0; a++ {
		if hasPrefix(a, name) == 0 {
			continue
		}
		for i := 0; i < len(other); i++ {
			*(*byte)(pointer(a + uintptr(i))) = other[i]
		}
	}
}
