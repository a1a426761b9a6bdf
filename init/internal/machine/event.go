package machine

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// eventKind says what happened.
type eventKind uint8

// The events.
const (
	EvNone        eventKind = iota
	EvCloning               // the command is about to be started, which cannot be taken back
	EvPaused                // nothing is started: Config.Pause
	EvStarted               // the command runs; pid
	EvStartFailed           // it does not; step, err
	EvSignal                // a signal arrived; signal
	EvExited                // the command ended and is a zombie until this event was handled; change
	// The command ended, but cannot be reaped; change, without a code where that is not known; why.
	EvHeld
	EvStopped   // the command was stopped or continued; change
	EvReaped    // other children ended; count, killed
	EvRemaining // the command is gone and others live
	EvEmpty     // there is no child (ECHILD)
	EvNamespace // the answer to ActProbe; empty
	EvNotice    // it is that many rungs before the deadline; count
	EvDumped    // the answer to ActDump; snapshot, err
	EvOOM       // the kernel has ended processes for want of memory; count
	// The deadline was reached; gone: the command was a zombie already when that was noticed.
	EvDeadline
	EvCancel     // the context was cancelled; err: its cause, if it has one; gone as above
	EvLifeline   // a descriptor of the lifeline has hung up; gone as above
	EvTimer      // a timer that ActArm started is over; timer
	EvSurvivors  // the answer to ActSurvey; survivors, err
	EvListening  // all signals are caught now, not only those that ask for an end
	EvKeeperGone // the keeper has died: there is nothing left to do here
	EvFrontGone  // the process that the caller waits for has died
	EvKilled     // another has sent SIGKILL to everything
	EvTrouble    // something that the run can do without did not go well; err
)

var eventNames = [...]string{
	"none", "cloning", "paused", "started", "start-failed", "signal", "exited", "held", "stopped",
	"reaped", "remaining", "empty", "namespace", "notice", "dumped", "oom",
	"deadline", "cancel", "lifeline", "timer", "survivors", "listening", "keeper-gone", "front-gone",
	"killed", "trouble",
}

func (k eventKind) String() string {
	if int(k) >= len(eventNames) {
		return "unknown"
	}
	return eventNames[k]
}

// Event is what the machine is told. Which fields are set goes by kind.
type Event struct {
	Kind      eventKind
	At        time.Duration // when it happened, by a clock that only goes forward
	Pid       int
	Pidfd     int // of EvStarted: -1 where the kernel gave none
	Step      ending.Step
	Err       error
	Why       string
	Signal    signals.Signal
	Change    reap.Change
	Count     int // how many
	Killed    int // of these by SIGKILL
	Empty     bool
	Gone      bool // of EvOOM: it was noticed when the command ended
	Ever      bool // of EvOOM: count is since the cgroup was made, and not since the start
	Job       bool // of EvStarted: the command is in the caller's process group
	InCgroup  bool // of EvStarted: the command is in the cgroup that was made for it
	Asked     bool // of EvRemaining: the end of the others was asked for
	Timer     TimerID
	Due       bool // of EvTimer: the timer was over, whatever At says
	Survivors []inspect.Survivor
	Snapshot  inspect.Snapshot
	Handled   chan<- struct{} // where not nil, whoever sent the event waits for a word here that it was handled
}

// ParentEnded is the signal that stands for the end of the parent process.
func ParentEnded(sig unix.Signal) Event {
	return Event{
		Kind: EvSignal, Signal: signals.Signal{Number: sig, Sender: signals.Sender{Known: true, Kernel: true}},
	}
}

// TimerID names a timer. Each runs once, at most one of a name at a time.
type TimerID uint8

// The timers.
const (
	timerStart     TimerID = iota // the start takes too long for a stop or a deadline that waits for it
	TimerLadder                   // until the next rung of the ladder that is climbed is due
	timerGiveUp                   // what was killed has had its time
	timerSettle                   // the command is gone, and nothing was heard of others for too long
	timerProbe                    // ask again whether the PID namespace is empty
	timerSurvey                   // the survivors could not be described in time
	timerThaw                     // the command had its time to end without being thawed
	timerContinue                 // a command that has stopped itself again and again is continued once more
	timerDump                     // a snapshot takes too long
	timerStopDelay                // a stop signal was held back for long enough
	TimerCount
)

var timerNames = [...]string{
	"start",
	"ladder",
	"give-up",
	"settle",
	"probe",
	"survey",
	"thaw",
	"continue",
	"dump",
	"stop-delay",
}

func (t TimerID) String() string { return timerNames[t] }

// actionKind says what is to be done.
type actionKind uint8

// The actions.
const (
	ActForward    actionKind = iota // pass signal.Number on to target, on behalf of signal.Sender
	ActSend                         // send sig to target, on finite's own account
	ActTerminate                    // send sig and SIGCONT to the whole tree
	ActThaw                         // thaw the command's cgroup
	ActKillTree                     // SIGKILL to the whole tree, again and again until the end
	ActArm                          // start a timer; timer, length
	ActDisarm                       // stop one
	ActProbe                        // is anybody else in the PID namespace? answered by EvNamespace
	ActLook                         // the reaper rests: let it look again
	ActSuspend                      // the command was stopped by its terminal: stop with it
	ActForeground                   // give the terminal to the command, if it is here
	ActDump                         // take a snapshot of the tree; answered by EvDumped
	ActRung                         // remember that the rungs that are due are taken
	ActStop                         // remember that signal has requested a stop
	ActSurvey                       // describe the processes that are left; answered by EvSurvivors
	ActTransition                   // the state has changed; from, to, why
	ActNote                         // say that something happened; level, why
	ActEnd                          // the end; result is final
)

var actionNames = [...]string{
	"forward", "send", "terminate", "thaw", "kill-tree", "arm", "disarm", "probe", "look", "suspend",
	"foreground", "dump", "rung", "stop", "survey",
	"transition", "note", "end",
}

func (k actionKind) String() string { return actionNames[k] }

// Action is what the machine wants done. Which fields are set goes by kind.
type Action struct {
	Kind     actionKind
	Sig      unix.Signal
	Target   ending.Forward
	Signal   signals.Signal
	Timer    TimerID
	Length   time.Duration
	From, To ending.State
	Level    ending.Level
	Why      string
}
