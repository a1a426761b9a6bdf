package ending

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Exit statuses of finite itself; they are those of GNU timeout, env and the shells.
const (
	StatusFailure       = 125 // finite itself failed, or was used wrongly
	StatusNotExecutable = 126 // the command was found but cannot be executed
	StatusNotFound      = 127 // the command was not found
)

// Kind says what ended the command.
type Kind string

// The kinds.
const (
	KindExited Kind = "exited" // it exited by itself
	// A signal ended it that finite neither sent nor passed on as a request to stop.
	KindSignaled Kind = "signaled"
	KindDeadline Kind = "deadline" // the deadline was reached first
	// A stop signal was passed on, or the context was cancelled, before it ended.
	KindStopRequested Kind = "stop-requested"
	KindLifeline      Kind = "lifeline"      // a descriptor of Config.Lifeline had hung up before it ended
	KindOOM           Kind = "oom"           // the kernel ended it for want of memory
	KindFiniteKilled  Kind = "finite-killed" // the process of finite that its caller waits for was killed
	KindStartFailed   Kind = "start-failed"  // it never ran
)

// Cause says what ended the command, and how it ended.
type Cause struct {
	Kind Kind
	// Whether ExitCode, Signal and CoreDumped are known: not if it never ran or could not be
	// reaped.
	Known      bool
	ExitCode   int         // 0–255; 0 if a signal ended it
	Signal     unix.Signal // the signal that ended it, 0 if none did
	CoreDumped bool
	By         By     // who asked, for stop-requested
	Also       []Kind // what asked for the end after the first, which stands
	Step       Step   // what failed, for start-failed
	Err        error  // and how
}

// By says who asked for the stop.
type By struct {
	Signal unix.Signal // 0 where it was the context
	Sender signals.Sender
}

// Step names a step of the start.
type Step string

// The steps of the start.
const (
	StepLookup Step = "lookup" // the command was looked up in PATH
	StepClone  Step = "clone"  // a process was made
	StepExec   Step = "exec"   // and the command was executed in it

	StepJoin     Step = "join"     // it joined namespaces (setns(2))
	StepUnshare  Step = "unshare"  // it made namespaces (unshare(2))
	StepMapIDs   Step = "map-ids"  // user and group IDs were mapped into its user namespace
	StepMount    Step = "mount"    // its mounts were made private, and a /proc was mounted
	StepLoopback Step = "loopback" // its loopback device was raised
	StepCgroup   Step = "cgroup"   // it was put into its cgroup
	StepHostname Step = "hostname" // its host name was set
)

// Rung is one step of an ending that was taken.
type Rung struct {
	// SIGTERM, SIGCONT, SIGKILL, tree (the kill of the whole tree), leftovers (the stop signal to
	// the rest).
	Step   string
	At     time.Duration // after Started
	Target string        // child, group, all
	Result string        // sent, or the error
}

// StateChange is a moment at which a run went on to another state.
type StateChange struct {
	State string        // running, stopping, leftovers (the command is gone), killing, survey, ended
	At    time.Duration // after Started
}

// Counts are counts of events.
type Counts struct {
	Forwarded int // signals that were passed on
	// Signals that arrived and were not passed on: dropped by a rule, refused, or no command there
	// to take them.
	Undelivered         int
	Orphans             int // children other than the command that were reaped, whenever they ended
	LeftoversTerminated int // of these, those that ended after the command, on their own or by the stop signal
	LeftoversKilled     int // of these, those that ended after the command by SIGKILL
	// Processes that the kernel ended for want of memory, in this process's memory cgroup and
	// below, since the start.
	OOMKills   int
	Unexpected int // events that should not have come: ignored
	LogDropped int // log lines that were dropped because the reader was slow
}

// Result is what became of the command.
type Result struct {
	ExitStatus int // what finite exits with
	Cause      Cause
	PID        int // 0 if it never ran
	Role       nsutil.Role
	Started    time.Time // just before the command was cloned
	Ended      time.Time // when nothing was left, or finite gave up
	Ladder     []Rung
	States     []StateChange
	Counts     Counts
	Survivors  []inspect.Survivor
	// The tree is not known to be empty; Survivors lists the processes that are left, as far as
	// /proc tells.
	GaveUp bool
	Rusage reap.Rusage
	// SupervisorStarts is how often a supervisor was started ([Supervise]): more than once where
	// one died. 0: there was none.
	SupervisorStarts int
	Without          []string // what finite had to do without: subreaper, pidfd, proc, foreground, cgroup
}

// IsBox reports whether a step is one of those that prepare where the command is to run.
func (s Step) IsBox() bool { return s != StepLookup && s != StepClone && s != StepExec }

// startFailureStatus follows env(1) and the shells: 127 for a command that is not there, 126 for
// one that cannot be executed, and 125 where finite could not even try.
func startFailureStatus(cause Cause) int {
	switch {
	case cause.Step == StepClone || cause.Step.IsBox():
		return StatusFailure
	case errors.Is(cause.Err, unix.ENOENT):
		return StatusNotFound
	}
	return StatusNotExecutable
}
