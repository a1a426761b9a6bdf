package pid1

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// eventKind says what happened.
type eventKind uint8

const (
	evNone        eventKind = iota
	evCloning               // the command is about to be started, which cannot be taken back
	evPaused                // nothing is started: Config.Pause
	evStarted               // the command runs; pid
	evStartFailed           // it does not; step, err
	evSignal                // a signal arrived; signal
	evExited                // the command ended and is a zombie until this event was handled; change
	evHeld                  // the command ended, but cannot be reaped; change, without a code where that is not known; why
	evStopped               // the command was stopped or continued; change
	evReaped                // other children ended; count, killed
	evRemaining             // the command is gone and others live
	evEmpty                 // there is no child (ECHILD)
	evNamespace             // the answer to actProbe; empty
	evNotice                // it is that many rungs before the deadline; count
	evDumped                // the answer to actDump; snapshot, err
	evOOM                   // the kernel has ended processes for want of memory; count
	evDeadline              // the deadline was reached; gone: the command was a zombie already when that was noticed
	evCancel                // the context was cancelled; err: its cause, if it has one; gone as above
	evLifeline              // a descriptor of the lifeline has hung up; gone as above
	evTimer                 // a timer that actArm started is over; timer
	evSurvivors             // the answer to actSurvey; survivors, err
	evListening             // all signals are caught now, not only those that ask for an end
	evKeeperGone            // the keeper has died: there is nothing left to do here
	evFrontGone             // the process that the caller waits for has died
	evTrouble               // something that the run can do without did not go well; err
)

var eventNames = [...]string{
	"none", "cloning", "paused", "started", "start-failed", "signal", "exited", "held", "stopped", "reaped", "remaining", "empty", "namespace", "notice", "dumped", "oom",
	"deadline", "cancel", "lifeline", "timer", "survivors", "listening", "keeper-gone", "front-gone", "trouble",
}

func (k eventKind) String() string {
	if int(k) >= len(eventNames) {
		return "unknown"
	}
	return eventNames[k]
}

// event is what the machine is told. Which fields are set goes by kind.
type event struct {
	kind      eventKind
	pid       int
	pidfd     int // of evStarted: -1 where the kernel gave none
	step      Step
	err       error
	why       string
	signal    signals.Signal
	change    reap.Change
	count     int // how many
	killed    int // of these by SIGKILL
	empty     bool
	gone      bool // of evOOM: it was noticed when the command ended
	ever      bool // of evOOM: count is since the cgroup was made, and not since the start
	job       bool // of evStarted: the command is in the caller's process group
	inLeaf    bool // of evStarted: the command is in the cgroup that was made for it
	timer     timerID
	survivors []inspect.Survivor
	snapshot  inspect.Snapshot
	handled   chan<- struct{} // where not nil, whoever sent the event waits for a word here that it was handled
}

// timerID names a timer. Each runs once, at most one of a name at a time.
type timerID uint8

const (
	timerStart     timerID = iota // the start takes too long for a stop or a deadline that waits for it
	timerGrace                    // until the next rung of the ladder that is climbed
	timerDeadline                 // the grace time of a deadline that fell into an ending with a later kill
	timerGiveUp                   // what was killed has had its time
	timerSettle                   // the command is gone, and nothing was heard of others for too long
	timerProbe                    // ask again whether the PID namespace is empty
	timerSurvey                   // the survivors could not be described in time
	timerThaw                     // the command had its time to end without being thawed
	timerDump                     // a snapshot takes too long
	timerStopDelay                // a stop signal was held back for long enough
	timerCount
)

var timerNames = [...]string{"start", "grace", "deadline-grace", "give-up", "settle", "probe", "survey", "thaw", "dump", "stop-delay"}

func (t timerID) String() string { return timerNames[t] }

// actionKind says what is to be done.
type actionKind uint8

const (
	actForward    actionKind = iota // pass signal.Number on to target, on behalf of signal.Sender
	actSend                         // send sig to target, on finite's own account
	actTerminate                    // send sig and SIGCONT to the whole tree
	actThaw                         // thaw the command's cgroup
	actKillTree                     // SIGKILL to the whole tree, again and again until the end
	actArm                          // start a timer; timer, length
	actDisarm                       // stop one
	actProbe                        // is anybody else in the PID namespace? answered by evNamespace
	actLook                         // the reaper rests: let it look again
	actSuspend                      // the command was stopped by its terminal: stop with it
	actForeground                   // give the terminal to the command, if it is here
	actDump                         // take a snapshot of the tree; answered by evDumped
	actSurvey                       // describe who is left; answered by evSurvivors
	actTransition                   // the state has changed; from, to, why
	actNote                         // say that something happened; level, why
	actEnd                          // the end; result is final
)

var actionNames = [...]string{
	"forward", "send", "terminate", "thaw", "kill-tree", "arm", "disarm", "probe", "look", "suspend", "foreground", "dump", "survey",
	"transition", "note", "end",
}

func (k actionKind) String() string { return actionNames[k] }

// action is what the machine wants done. Which fields are set goes by kind.
type action struct {
	kind     actionKind
	sig      unix.Signal
	target   Forward
	signal   signals.Signal
	timer    timerID
	length   time.Duration
	from, to state
	level    level
	why      string
}

// level says how much a note matters. Warnings are shown by default, so they are for what is
// abnormal.
type level uint8

const (
	levelDebug level = iota
	levelInfo
	levelWarn
	levelError
)
