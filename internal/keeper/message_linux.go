//go:build amd64 || arm64

package keeper

// Message is what the processes tell one another. Each message is one packet of this size. The
// receiver ignores packets of another length and kinds that it does not know.
type Message struct {
	Kind   Kind
	Value  int32
	Count  int32
	Killed int32
	Signal Signal
	Change Change
	Times  [2]int64  // ns
	Place  Place     // of KindRecord
	Table  [64]uint8 // of KindRules: see rules
}

// Values in a table of rules that are no signal number.
const (
	RuleAsk  = 0   // the supervisor decides
	RuleDrop = 255 // the signal is not passed on
)

// Kind is what a message is about.
type Kind int32

// Messages from the keeper to the front.
const (
	// The command exists. Value is its PID, Count has flags, and the packet has its pidfd.
	kindStarted Kind = 1 + iota

	// The signal Value stopped the command. Count is the number of the stop.
	kindStopped

	// The command is still stopped: the front is to stop as well.
	kindStop

	// The command runs again.
	kindContinued

	// The latest time is Count milliseconds from now; 0: there is none. Value is the exit status of
	// a run without a keeper: always, or, where Killed is 1, only after the latest time.
	kindUntil

	// As KindRules.
	kindRules

	// The run is over. Value is the exit status. Count is the signal that ended the command; 0:
	// none did, or the deadline came first. Killed is the PID of a supervisor that the keeper
	// killed and did not reap. Times[0] is 1 where no process is left.
	kindStatus
)

// Flags of kindStarted and KindStarted.
const (
	StartedInGroup    = 1 << iota // the command is in the caller's process group
	startedOnTerminal             // there is a controlling terminal
	StartedInCgroup               // the command is in its cgroup
)

// Messages from the front to the keeper.
const (
	// A signal arrived. Value is a way of passing it on (see passedByFront). Count is the number of
	// the last stop that the front has heard of.
	kindSignal Kind = 16 + iota

	// The front has heard of the stop Count, and has told of every signal that came before it.
	kindHeard

	// The front runs, after kindContinued.
	kindRunning
)

// Messages from the keeper to a supervisor.
const (
	// Does the supervisor live? The answer is KindAlive.
	KindAsk Kind = 32 + iota

	// A signal arrived. Value is 1 if the keeper or the front passed it on.
	KindSignalled

	// The command runs. Value is its PID, Count has flags, and the packet has its pidfd.
	KindStarted

	// The command does not run. Value is the errno, Count a reason (see NotExecuted).
	KindNotStarted

	// The command has ended. Change has its end; the rest is as in KindChild.
	KindExited

	// The command was stopped or continued, as Change says.
	KindChanged

	// Count children other than the command were reaped. SIGKILL ended Killed of them.
	KindReaped

	// A child other than the command has ended, as Change says, and is about to be reaped. Times[0]
	// is when it was started, in clock ticks after the boot. Signal.Name is its name.
	KindChild

	// The command has ended, and other children are left.
	KindRemaining

	// No child is left.
	KindEmpty

	// The front has died.
	KindFrontGone

	// No child is reaped until KindRelease.
	KindHeld
)

// Messages from the front to a planner.
const (
	// The child Value makes the calls of the plan.
	KindPlanMade Kind = 48 + iota

	// The keeper runs.
	KindPlanBegun

	// The run is over. Where Value is 1, the planner kills what is left in the command's cgroup.
	KindPlanOver
)

// Messages from a supervisor to the keeper.
const (
	// The supervisor runs. This is its first message.
	KindHello Kind = 64 + iota

	// The answer to KindAsk.
	KindAlive

	// The supervisor is about to send the stop signal to what the command left.
	KindLeftovers

	// Is any child left? The answer is KindEmpty, or, where there is no command, KindRemaining.
	KindLook

	// The keeper is to reap every child that has ended, and then no child. The answer is KindHeld.
	KindHold

	// The keeper is to reap children again.
	KindRelease

	// The keeper is to send the signal Value to every process, since there is no /proc.
	KindByHeart

	// The keeper is to start the command. Value is its index in argv, Count has flags. The packet
	// may have the directory of a cgroup. Times are the timeout and the grace time (0: none), which
	// the keeper uses if it loses the supervisor.
	KindStart

	// There is no command. Count is 1 where the keeper is to tell of each child.
	KindPause

	// The command does not get the variable with the index Value.
	KindDrop

	// Table has the rules. Count is 1 where signals go to the command's process group. Value is 1
	// where the keeper is to tell of every signal.
	KindRules

	// The latest time is Count milliseconds from now; 0: there is none. Value is the exit status of
	// a run that is not over by then. Killed is 1 as long as no deadline was reached.
	KindLatest

	// What Value says is about to happen.
	KindFact

	// The record Value is at Place from now on.
	KindRecord

	// The descriptor Value stays open. Count is 1 where the command does not get it.
	KindKeep

	// Supervisors begin in the caller's working directory from now on.
	KindKeepDirectory

	// The run is over. Value is the exit status. Count is 1 where a process is left.
	KindEnd
)

// Messages from a planner to the front.
const (
	// The packet has the first argument of the call Value of the plan, which is a descriptor.
	KindPlanDescriptor Kind = 96 + iota

	// The packet has the directory of the command's cgroup, or, where Value is 1, its cgroup.procs.
	KindPlanCgroup

	// The plan is complete. Value is 0 where there is nothing to make.
	KindPlanned
)

// Values of KindFact: what is about to happen.
const (
	FactDeadline int32 = 1 + iota // the deadline has come
	FactLifeline                  // the lifeline has hung up
	FactStop                      // Signal has requested a stop
	FactRung                      // a further step of the supervisor's ladder
	FactKilled                    // SIGKILL
)

// Flags of KindStart.
const (
	StartGroup        = 1 << iota // the command leads a process group of its own
	StartEnforce                  // there is an ending to enforce
	StartMove                     // the command moves itself into the cgroup that was sent last
	StartTellChildren             // the keeper is to tell of each child
	StartQuiet                    // the supervisor has nothing to say about a quiet end: see QuietTime
)

// Reasons why a command was not started.
const (
	NotExecuted int32 = iota // execve(2) failed
	NotCloned                // clone(2) failed
	NotFound                 // no file was found
	NotInCgroup              // the command could not be put into its cgroup
)
