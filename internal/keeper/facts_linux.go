//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Facts is what the keeper knows of the run. A supervisor is a fork of the keeper, and so starts
// with a copy. What is about to be done is written before it is done. Times are nanoseconds of
// CLOCK_MONOTONIC; 0 is never.
type Facts struct {
	Keeper   int32 // the keeper's PID
	Front    int32 // the front's PID; 0: there is none, the keeper is PID 1 of where it was started
	Init     bool  // the keeper is PID 1
	Planned  bool  // it is in namespaces that were made for it, or that it has joined
	Paused   bool  // there is no command to wait for (--pause)
	Foreign  bool  // the front is in another PID namespace: PIDs that it tells of are numbers there
	Command  int32
	Pidfd    int32 // the command's; -1 where the kernel gave none
	Group    bool  // the command leads a process group of its own
	Plain    bool  // the keeper has understood the arguments by itself
	Parent   int32 // the caller's PID; ParentFD is a pidfd of it, -1 where there is none
	ParentFD int32

	Cgroup    int32 // the directory of the cgroup that the command is in, or is to be; -1: it is in the keeper's
	Procs     int32 // cgroup.procs there, which a planner has opened; -1: it is to be opened
	Directory int32 // the caller's working directory, where a supervisor has asked to keep it; -1: it has not

	Mask    uint64 // the signal mask and the ignored signals of the start: bit n-1 is signal n
	Ignored uint64

	Timeout int64 // ns; 0: none
	Grace   int64 // ns; 0: SIGKILL at once

	Started    int64
	StartError int32 // the errno of the execution that failed; 0: none

	Stop    Signal // the first signal that asked for an end; Number 0: none
	StopAt  int64
	Stopped bool // the command is stopped

	DeadlineAt  int64           // when the deadline came
	Late        bool            // it came after the command's end
	KilledAt    int64           // when SIGKILL was due
	Rungs       [maxRungs]int64 // when a supervisor took the steps of its ladder after the first
	RungCount   int32
	LifelineAt  int64 // when a supervisor saw the lifeline hang up
	LeftoversAt int64 // when what the command left was sent the stop signal
	LateStatus  int32 // the exit status where a run is not over at its latest time
	FrontGone   bool  // the front has died

	Ended   Change // the command's end; Code 0: not yet
	EndedAt int64
	Dead    int64 // when the pidfd said that the command is dead, though it cannot be waited for

	Forwarded   int32 // signals that were passed on
	Undelivered int32 // signals that were not
	Orphans     int32 // other children that were reaped
	Terminated  int32 // of these, after the command's end, other than by SIGKILL
	Killed      int32 // and by SIGKILL

	Older      [maxOlder]int32 // children that were there before finite was executed: they are not the command's
	OlderCount int32

	Records [MaxRecords]Place // where what options name is, as supervisors have last made it

	Starts      int32 // how often a supervisor was started
	Ordinary    bool  // supervisors are ordinary children: the kernel refuses others
	NoSubreaper bool  // PR_SET_CHILD_SUBREAPER was refused
}

// WasKilled reports whether somebody has to say why a command is dead that the keeper has run by
// itself as PID 1 of a container: it was killed, and not by finite. The kernel may have done that
// for want of memory.
//
//go:nosplit
func (f *Facts) WasKilled() bool {
	killed := f.Ended.Code != 0 && f.Ended.Code != codeExited && f.Ended.Status == int32(unix.SIGKILL)
	return f.Plain && f.Init && !f.Planned && killed && f.KilledAt == 0
}

// Signal is a signal as it arrived (sigaction(2), signalfd(2)).
type Signal struct {
	Number, Code int32
	PID          int32
	UID          uint32
	Value        uint64
	Name         [16]byte // the sender's, where the front has looked it up
}

// MaxRecords is how many records there can be. Their numbers are the supervisor's.
const MaxRecords = 4

// Place is a file and the directory that it was opened in. The zero value is none.
type Place struct{ File, Directory File }

// File says which file it is (stat(2)). The zero value is none.
type File struct{ Device, Inode uint64 }

// Change is what waitid(2) said of a child.
type Change struct {
	PID          int32
	UID          uint32
	Code, Status int32
	User, System int64 // ns
	MaxRSS       int64 // KiB
}

var facts Facts

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

const maxRungs = 16

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
