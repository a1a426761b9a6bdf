//go:build amd64 || arm64

package keeper

// Message is what the processes tell one another. Each is sent as one packet of this size; who
// receives checks the length and the kind.
type Message struct {
	Kind   Kind
	Value  int32
	Count  int32
	Killed int32
	Signal Signal
	Change Change
	Times  [2]int64  // of KindStart: the timeout and the grace time, in ns, for a keeper that acts by heart; 0: none
	Place  Place     // of KindRecord
	Table  [64]uint8 // of KindRules: for signal n+1 what it is passed on as, or one of the values below
}

// What a table says of a signal, besides the number of the signal that takes its place.
const (
	RuleAsk  = 0   // the supervisor decides
	RuleDrop = 255 // nobody gets it
)

// Kind says what a message is about.
type Kind int32

// From the keeper to the front.
const (
	kindStarted   Kind = 1 + iota // the command exists: Value is its PID, Count has flags; the packet has its pidfd
	kindStopped                   // the command was stopped by the signal Value; Count is the number of the stop
	kindStop                      // it is stopped still
	kindContinued                 // it was continued
	kindUntil                     // the latest time is Count milliseconds from now; Value is the status then, and before, unless Killed is 1
	kindRules                     // Table; Value is 1 where the keeper is to hear of every signal
	kindStatus                    // the end: Value is the status, Count the terminal's signal that ended the command, Killed the killed supervisor; Times[0] is 1 where nobody is left
)

// Flags of kindStarted and KindStarted.
const (
	StartedInGroup    = 1 << iota // the command is in the caller's process group
	startedOnTerminal             // there is a controlling terminal
	StartedInCgroup               // the command is in its cgroup
)

// From the front to the keeper.
const (
	kindSignal  Kind = 16 + iota // a signal arrived: Value says how it is passed on, Count is the last stop that was heard of
	kindHeard                    // kindStopped was heard, and every signal before it was told: Count is the number of the stop
	kindRunning                  // the front was continued
)

// From the keeper to a supervisor.
const (
	KindAsk        Kind = 32 + iota // a supervisor that lives answers
	KindSignalled                   // a signal arrived: Value is 1 if it was passed on
	KindStarted                     // the command runs: Value is its PID, Count has flags; the packet has its pidfd
	KindNotStarted                  // it does not: Value is the errno, Count a NotStarted
	KindExited                      // the command has ended: Change; the rest as in KindChild
	KindChanged                     // the command was stopped or continued: Change
	KindReaped                      // Count others were reaped, Killed of them ended by SIGKILL
	KindChild                       // one of them: Change; Times has when it was started, in clock ticks, and Signal its name
	KindRemaining                   // the command has ended, and others are left
	KindEmpty                       // there is no child any more
	KindFrontGone                   // the front has died
	KindHeld                        // no child is reaped until KindRelease
)

// From the front to a planner.
const (
	KindPlanMade  Kind = 48 + iota // the child Value makes the calls of the plan
	KindPlanBegun                  // the keeper runs
	KindPlanOver                   // everything is over; where Value is 1, what is left in the cgroup is to be killed
)

// From a supervisor to the keeper.
const (
	KindHello         Kind = 64 + iota // it runs: the first word
	KindAlive                          // the answer to KindAsk
	KindLeftovers                      // the stop signal is about to be sent to what the command left
	KindLook                           // is anybody left? Answered by KindEmpty
	KindHold                           // reap all who have ended, and then nobody; answered by KindHeld
	KindRelease                        // go on reaping
	KindByHeart                        // send everybody the signal Value by heart: there is no /proc
	KindStart                          // start the command: Value is its index in argv, Count has flags; the packet may have the directory of a cgroup
	KindPause                          // there is no command; Count is 1 where each child is told
	KindDrop                           // the variable with the index Value is not the command's
	KindRules                          // Table; Count is 1 where the command's group is to get signals, Value 1 where every signal is told
	KindLatest                         // the run should be over in Count milliseconds (0: nobody knows), with the status Value; Killed is 1 while no deadline was reached
	KindFact                           // Value is about to happen
	KindRecord                         // the record Value is at Place from now on
	KindKeep                           // the descriptor Value is to stay open; Count is 1 where the command does not get it
	KindKeepDirectory                  // supervisors are to begin in the caller's working directory
	KindEnd                            // the end: Value is the status, Count is 1 where somebody is left
)

// From a planner to the front.
const (
	KindPlanDescriptor Kind = 96 + iota // the packet has the first argument of the call Value of the plan
	KindPlanCgroup                      // the packet has the directory of the command's cgroup, or its cgroup.procs where Value is 1
	KindPlanned                         // the plan is complete; Value is 0 where there is nothing to make
)

// What a supervisor says that is about to happen.
const (
	FactDeadline int32 = 1 + iota
	FactLifeline
	FactRung
	FactKilled
)

// Flags of KindStart.
const (
	StartGroup        = 1 << iota // the command leads a process group of its own
	StartEnforce                  // there is an ending to enforce
	StartMove                     // the command moves by itself into its cgroup, which is the last one that was told of
	StartTellChildren             // the supervisor wants to hear of each child
	StartQuiet                    // there is nothing to say about a quiet end: see QuietTime
)

// Why a command was not started.
const (
	NotExecuted int32 = iota // execve(2) failed
	NotCloned                // clone(2) failed
	NotFound                 // no file was found
	NotInCgroup              // it could not be put into its cgroup
)
