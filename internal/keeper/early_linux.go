//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// earlySet are the stop signals that were not ignored at the start.
var earlySet uint64

// endEarly ends finite where a stop signal has come before there is a command. Other signals stay
// pending for the command.
//
//go:nosplit
func endEarly() {
	if takeEarly() {
		exitEarly()
	}
}

// takeEarly takes a stop signal into arrival. It returns false where there is none.
//
//go:nosplit
func takeEarly() bool {
	early := endSet &^ facts.Ignored
	earlySet, noTime = early, [2]int64{}
	n := sys4(unix.SYS_RT_SIGTIMEDWAIT, addr(&earlySet), addr(&arrival.sent), addr(&noTime), 8)
	if n <= 0 {
		return false
	}
	s := &arrival.signal
	s.Number, s.Code = int32(n), *(*int32)(pointer(addr(&arrival.sent) + 8))
	s.PID, s.UID = *(*int32)(pointer(addr(&arrival.sent) + 16)), *(*uint32)(pointer(addr(&arrival.sent) + 20))
	return true
}

// exitEarly ends this process by the signal that takeEarly has taken.
//
//go:nosplit
func exitEarly() {
	s := &arrival.signal
	startLine()
	put("stop requested by ")
	putSignal(s.Number)
	putSender(s, true)
	say()
	awaitHelpers()
	exit(128 + s.Number)
}

// startPatience is how long a stop signal waits for a supervisor to have the command started. A
// file that a record goes to may not answer.
const startPatience = second

// endUnstarted ends finite where a stop signal comes to the front while the keeper's namespaces are
// made, or has waited for the command for startPatience.
//
//go:nosplit
func endUnstarted() {
	if run.earlyFD < 0 {
		return
	}
	if run.command != 0 || run.told {
		closeFD(run.earlyFD)
		run.earlyFD, run.early = -1, 0
		return
	}
	sys2(unix.SYS_RT_SIGPENDING, addr(&waiting), 8)
	if waiting&earlySet == 0 {
		return
	}
	patience, building := int64(second), planAt != 0 && thePlan().Fate != planTaken
	if !building && run.early == 0 {
		run.early = now() + startPatience
	}
	if !building && !isDue(run.early) || building && !thePlan().decide(planDropped) || !takeEarly() {
		return
	}
	if building {
		patience = giveUpTime
	}
	// A planner that waits for another program does not end by itself.
	kill(run.keeper, int32(unix.SIGKILL))
	endPlanner(1)
	endEverything(patience)
	exitEarly()
}

// endUnstartedInit does for a keeper that is PID 1 what endUnstarted does for a front, where a
// supervisor has been silent for startPatience.
//
//go:nosplit
func endUnstartedInit() {
	unheard := facts.Front == 0 && !facts.Begun() && supervisor.pid != 0 && !supervisor.spoke
	if unheard && int64(supervisor.silent)*silencePause >= startPatience && takeEarly() {
		kill(supervisor.pid, int32(unix.SIGKILL))
		exitEarly()
	}
}
