//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A planner makes the plan where a list of namespaces does not say all about them. It is a fork of
// the process that becomes the front, and goes on to the Go runtime. The front keeps it in the
// variable supervisor.

// makePlan makes the plan, by heart or by a planner. It returns true in a planner.
//
//go:nosplit
func makePlan() bool {
	if facts.Plain {
		if r := planByHeart(); r < 0 {
			fail(r)
		}
		return false
	}
	r := mapPlan()
	if r >= 0 {
		r = makePair()
	}
	if r < 0 {
		fail(r)
	}
	if r = forkUnseen(); r < 0 {
		fail(r)
	}
	if r == 0 {
		attached.planner = true
		becomeSupervisor()
		return true
	}
	closeFD(newPair[1])
	supervisor.pid, supervisor.socket = int32(r), newPair[0]
	awaitPlan()
	return false
}

// awaitPlan waits until the plan is complete. A planner that ends before that has said why, and
// finite ends with its status. A stop signal ends finite. A planner that was stopped is continued.
//
//go:nosplit
func awaitPlan() {
	early := signalDescriptor(&earlySet)
	for {
		ok, gone := receive(supervisor.socket)
		if ok {
			m := &packet.message
			switch m.Kind {
			case KindHello:
				supervisor.spoke = true
			case KindPlanDescriptor:
				takePlanDescriptor(m.Value, packet.passed.fd)
			case KindPlanCgroup:
				if m.Value == 0 {
					facts.Cgroup = packet.passed.fd
				} else {
					facts.Procs = packet.passed.fd
				}
			case KindPlanned:
				closeFD(early)
				if m.Value == 0 { // there is nothing to make
					sys2(unix.SYS_MUNMAP, planAt, unsafe.Sizeof(Plan{}))
					planAt = 0
					endPlanner(0)
				}
				return
			}
			continue
		}
		if gone {
			plannerFailed()
		}
		sys3(unix.SYS_READ, uintptr(childFD), addr(&arrival.info), 128)
		if wait(unix.P_PID, uintptr(supervisor.pid), unix.WSTOPPED|unix.WNOHANG|unix.WALL) > 0 {
			kill(supervisor.pid, int32(unix.SIGCONT))
		}
		poll.fds = [6]unix.PollFd{
			{Fd: supervisor.socket, Events: unix.POLLIN},
			{Fd: early, Events: unix.POLLIN},
			{Fd: childFD, Events: unix.POLLIN},
		}
		if awaitPoll(3, 0) && poll.fds[1].Revents != 0 && takeEarly() {
			leavePlanner()
			exitEarly()
		}
	}
}

// leavePlanner closes the socket, by which a planner learns that its plan is not needed. The
// planner then removes what it has made, and ends. After plannerTime it is killed.
//
//go:nosplit
func leavePlanner() {
	closeFD(supervisor.socket)
	supervisor.socket = -1
	for until := now() + plannerTime*second; now() < until; {
		if wait(unix.P_PID, uintptr(supervisor.pid), unix.WEXITED|unix.WNOHANG|unix.WALL) != 0 {
			supervisor.pid = 0
			return
		}
		pause(millisecond)
	}
	killSupervisor()
}

// takePlanDescriptor puts a descriptor into the call of the plan that needs it.
//
//go:nosplit
func takePlanDescriptor(call, fd int32) {
	if fd < 0 || call < 0 || call >= maxCalls {
		return
	}
	callAt(call).Args[0] = uint64(high(int(fd)))
}

// abortStatus is the exit status of a Go runtime that cannot go on.
const abortStatus = 2

// plannerFailed ends finite after a planner that has ended without a plan.
//
//go:nosplit
func plannerFailed() {
	reaped := wait(unix.P_PID, uintptr(supervisor.pid), unix.WEXITED|unix.WALL) > 0
	exited := reaped && childChange.code == codeExited
	if exited && supervisor.spoke && childChange.status != abortStatus {
		exit(childChange.status)
	}
	startLine()
	if supervisor.spoke && !exited {
		put("the planner was killed")
	} else {
		put("the planner cannot run")
	}
	say()
	awaitHelpers()
	exit(statusFailure)
}

// endPlanner ends a planner, and reaps it. A planner that has something to do at the end gets
// plannerTime for that. With killsCgroup 1 it also kills what is left in the command's cgroup.
//
//go:nosplit
func endPlanner(killsCgroup int32) {
	if supervisor.pid == 0 {
		return
	}
	if planAt != 0 && thePlan().Stays {
		tell(supervisor.socket, KindPlanOver, killsCgroup, 0)
		poll.fds = [6]unix.PollFd{{Fd: supervisor.socket, Events: unix.POLLIN}} // until it closes its end
		poll.limit = [2]int64{plannerTime, 0}
		awaitPoll(1, addr(&poll.limit))
	}
	killSupervisor()
}

const plannerTime = 2 // seconds

// keeperBuilt reports whether the child that was reaped last has cloned the keeper, as the plan has
// it. The keeper is a child of the front then.
//
//go:nosplit
func keeperBuilt() bool {
	if planAt == 0 || !thePlan().Forks || run.built {
		return false
	}
	if childChange.code != codeExited || childChange.status != 0 || thePlan().Keeper <= 0 {
		return false
	}
	run.keeper, run.built = thePlan().Keeper, true
	return true
}

// noteBegun is called for the first message of the keeper, which stays in packet.message.
//
//go:nosplit
func noteBegun() {
	run.begun = true
	if supervisor.pid != 0 {
		firstWord = packet.message
		tell(supervisor.socket, KindPlanBegun, 0, 0)
		packet.message = firstWord
	}
}

// firstWord is the first message of the keeper, while noteBegun sends another one.
var firstWord Message

// sayWhyNot reports whether there is no keeper because its namespaces were refused, and says which
// step failed.
//
//go:nosplit
func sayWhyNot() bool {
	if planAt == 0 || run.begun {
		return false
	}
	p := thePlan()
	if p.Failed == 0 && !p.Said {
		return false
	}
	if !p.Said {
		sayPlanFailed(uintptr(callAt(p.Failed-1).Words), -int(p.Errno))
	}
	return true
}

// enterPlan carries out the plan in the child that becomes the keeper, before anything else.
//
//go:nosplit
func enterPlan() {
	forgetSupervisor()
	carryOut()
	if !thePlan().decide(planTaken) {
		exit(statusFailure)
	}
	facts.Planned, facts.Foreign = true, thePlan().Foreign
	closeFD(procFD) // the front's
	openProc()
}
