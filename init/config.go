package pid1

import (
	"errors"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/usage"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// TimeoutExitZero as a [Config]'s TimeoutExit stands for the exit status 0.
const TimeoutExitZero = -1

// MinGiveUp is the shortest give-up time: a killed tree needs a moment to be reaped.
const MinGiveUp = 100 * time.Millisecond

// Config says what to run and how it may end. Only Args is required, unless Pause is set.
type Config struct {
	Args []string // the command and its arguments; the first is looked up in PATH of Env
	Env  []string // its environment; nil: this process's own
	Dir  string   // its working directory; empty: this process's own

	// Pause has nothing run: what comes to this process from elsewhere is reaped, until a stop
	// signal or the deadline comes. Then whatever else is in the PID namespace, or descends from
	// this process, is ended as leftovers are.
	Pause bool

	// Timeout is a deadline relative to the command's start: from just before clone(2), as GNU
	// timeout counts; 0 means none. Deadline is one by the wall clock, which is followed when it is
	// stepped; zero means none. Each takes effect besides the context's own.
	Timeout  time.Duration
	Deadline time.Time

	StopSignal unix.Signal   // the first signal when an ending begins here; 0: SIGTERM
	Grace      time.Duration // from that signal to SIGKILL; 0: [ending.DefaultGrace]; or [ending.AtOnce]
	// The same clock for a stop that was requested by a signal; 0: [ending.Never], as with
	// other inits; or [ending.AtOnce].
	StopGrace time.Duration
	// Escalate is the general form of those three, which must be zero with it. Rungs before the
	// deadline need one. After a stop that was requested by a signal, the rungs that are due at
	// once are left out: that signal takes their place.
	Escalate ending.Ladder
	// Snapshot has a snapshot of the tree taken first when finite itself begins to end something,
	// as a rung of Escalate with the Signal 0 does. It goes to the log and, where Report is a path,
	// to the file of that name with .tree behind it.
	Snapshot bool

	// How long the first signal that requests a stop is held back; another one ends the wait; 0:
	// not at all.
	StopDelay time.Duration
	// From the last SIGKILL to the report of survivors; 0: [ending.DefaultGiveUp]; or
	// [ending.Never].
	GiveUp time.Duration

	// Lifeline are descriptors of pipes, sockets or terminals, such as 0. That one of them hangs up
	// is a stop: the other end, the client of a docker exec for example, has gone away.
	// They are neither read from nor closed. Of a pipe, it hangs up when the last writer closes it,
	// read or not. LifelineParent stands for the parent process: that it ends is a stop as well.
	Lifeline []int

	Leftovers ending.Leftovers
	Forward   ending.Forward
	Rewrite   signals.Rewrite

	// The exit status when the deadline ended the command, 1–255; 0: [ending.DefaultTimeoutExit];
	// TimeoutExitZero: 0.
	TimeoutExit    int
	PreserveStatus bool
	Expect         []int // exit statuses of the command that are reported as 0
	// Exit statuses of the command that are reported as 0 if its end was requested: by a stop
	// signal, the lifeline, or the context.
	StopExit []int

	ParentDeath unix.Signal // what this process is sent when its parent ends (PR_SET_PDEATHSIG); 0: nothing
	// The parent's PID as it was at the start, to notice a parent that is gone before that is set;
	// 0: now.
	ParentPID int

	// Source delivers signals. nil: Run listens itself, and stops listening before it returns.
	Source *signals.Source
	// Log gets what happens; nil: nothing is logged. It is used from one goroutine and may block:
	// supervision does not wait for it.
	Log *logrus.Logger

	// Unshare and Join are namespaces that are made for the command, and namespaces that it joins
	// (see [nsutil.OpenNamespaces]), before others are made. Hostname needs a UTS namespace. In a
	// new user namespace the caller is mapped to itself or, with MapRoot, to root, and others are
	// mapped as well where subuid(5) grants them and newuidmap(1) is there. The keeper alone makes
	// namespaces: [Run] refuses them in a process that has none.
	Unshare  nsutil.Namespaces
	Join     []string
	Hostname string
	MapRoot  bool
	// Report and StateFile are where a report of the run and its state in the form of the OCI
	// runtime-spec are written, at every change of state: a path, or fd:N, a descriptor, which
	// stays open. They are opened before the command is started; what fails later changes nothing
	// about the run.
	Report    string
	StateFile string

	// Events is where a line is written about everything that happens, in EventsFormat: a path,
	// whose content is replaced, or fd:N, which may be where reports go as well if it is no regular
	// file. It is opened before the command is started; what fails later changes nothing about the
	// run.
	Events       string
	EventsFormat record.EventsFormat

	// Cgroup says whether the command gets a cgroup of its own, which is killed and removed at the
	// end.
	Cgroup ending.CgroupMode
}

// ErrBusy says that another Run is under way in this process.
var ErrBusy = errors.New("another command is being supervised by this process")

// UsageError says which field of a [Config] cannot be used. Its Why names other fields as
// Config.Name.
type UsageError = usage.Error
