package pid1

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
	"github.com/finite-init/finite/signals"
)

// Off, as a duration in a [Config], means that there is no such limit.
const Off time.Duration = -1

// The defaults of a zero [Config].
const (
	DefaultStopSignal  = unix.SIGTERM
	DefaultGrace       = 5 * time.Second
	DefaultGiveUp      = 5 * time.Second
	DefaultTimeoutExit = 124
)

// LifelineParent in a [Config]'s Lifeline stands for the parent process. Linux 5.3.
const LifelineParent = -1

// TimeoutExitZero as a [Config]'s TimeoutExit stands for the exit status 0.
const TimeoutExitZero = -1

// MinGiveUp is the shortest give-up time: a killed tree needs a moment to be reaped.
const MinGiveUp = 100 * time.Millisecond

// parseName returns the number of a name.
func parseName[T ~uint8](s string, names []string) (T, error) {
	for i, name := range names {
		if s == name {
			return T(i), nil
		}
	}
	last := len(names) - 1
	return 0, errors.New("must be " + strings.Join(names[:last], ", ") + " or " + names[last])
}

// Leftovers says what happens to the rest of the tree when the command itself has ended.
type Leftovers uint8

// The policies.
const (
	LeftoversTerminate Leftovers = iota // the stop signal and SIGCONT, then, after the grace time, SIGKILL
	LeftoversKill                       // SIGKILL at once
	LeftoversWait                       // wait until they end by themselves; a stop signal or the deadline terminates them
	LeftoversLeave                      // leave them to the next reaper; not as PID 1
)

var leftoversNames = [...]string{"terminate", "kill", "wait", "leave"}

func (l Leftovers) String() string { return leftoversNames[l] }

// ParseLeftovers reads the name of a policy.
func ParseLeftovers(s string) (Leftovers, error) { return parseName[Leftovers](s, leftoversNames[:]) }

// Forward says who gets the signals that arrive.
type Forward uint8

// The targets.
const (
	ForwardChild Forward = iota // the command's direct process
	ForwardGroup                // its process group
	ForwardAll                  // the whole tree
)

var forwardNames = [...]string{"child", "group", "all"}

func (f Forward) String() string { return forwardNames[f] }

// ParseForward reads the name of a target.
func ParseForward(s string) (Forward, error) { return parseName[Forward](s, forwardNames[:]) }

// CgroupMode says whether the command gets a cgroup of its own.
type CgroupMode uint8

// The modes.
const (
	CgroupAuto    CgroupMode = iota // where one can be made, and an ending is foreseen: there is a deadline, a stop grace time, a lifeline, or a context that can end
	CgroupOff                       // never
	CgroupRequire                   // always, or the command is not started
)

var cgroupNames = [...]string{"auto", "off", "require"}

func (m CgroupMode) String() string { return cgroupNames[m] }

// ParseCgroupMode reads the name of a mode.
func ParseCgroupMode(s string) (CgroupMode, error) { return parseName[CgroupMode](s, cgroupNames[:]) }

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
	Grace      time.Duration // from that signal to SIGKILL; 0: DefaultGrace; less than 0 ([Off]): SIGKILL at once
	StopGrace  time.Duration // the same clock for a stop that was requested by a signal; 0 or Off: none, as with other inits; 1: at once
	// Escalate is the general form of those three, which must be zero with it. Rungs before the
	// deadline need one. After a stop that was requested by a signal, the rungs that are due at
	// once are left out: that signal takes their place.
	Escalate Ladder
	// Snapshot has a snapshot of the tree taken first when finite itself begins to end something,
	// as a rung of Escalate with the Signal 0 does. It goes to the log and, where Report is a path,
	// to the file of that name with .tree behind it.
	Snapshot bool

	StopDelay time.Duration // how long the first signal that requests a stop is held back; another one ends the wait; 0: not at all
	GiveUp    time.Duration // from the last SIGKILL to the report of survivors; 0: DefaultGiveUp; Off: wait for ever

	// Lifeline are descriptors of pipes, sockets or terminals, such as 0. That one of them hangs up
	// is a stop: the one at the other end, the client of a docker exec for example, has gone away.
	// They are neither read from nor closed. Of a pipe, it hangs up when the last writer closes it,
	// read or not. LifelineParent stands for the parent process: that it ends is a stop as well.
	Lifeline []int

	Leftovers Leftovers
	Forward   Forward
	Rewrite   signals.Rewrite

	TimeoutExit    int // the exit status when the deadline ended the command, 1–255; 0: DefaultTimeoutExit; TimeoutExitZero: 0
	PreserveStatus bool
	Expect         []int // exit statuses of the command that are reported as 0
	StopExit       []int // exit statuses of the command that are reported as 0 if its end was requested: by a stop signal, the lifeline, or the context

	ParentDeath unix.Signal // what this process is sent when its parent ends (PR_SET_PDEATHSIG); 0: nothing
	ParentPID   int         // the parent's PID as it was at the start, to notice a parent that is gone before that is set; 0: now

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
	EventsFormat EventsFormat

	// Cgroup says whether the command gets a cgroup of its own, which is killed and removed at the
	// end.
	Cgroup CgroupMode

	dropsVariable func(string) bool // of the environment, what the command does not see; nil: Env has it
	ladders       ladders           // of StopSignal, Grace and StopGrace, or Escalate, and Snapshot
	until         time.Time         // the context's deadline, if it has one
	listenLate    func()            // called, in a goroutine, once the command has been started
	ignored       signals.Set       // what was ignored when finite was started, as far as that is known
	records       recordMemory      // which files the records are, for a supervisor that goes on; nil: nobody goes on
	parentFD      int               // a pidfd of the parent, for LifelineParent; 0 or less: it is opened when it is needed
	lifeline      *lifeline         // of Lifeline; nil: none
	planned       bool              // the namespaces have been made already
	noLeaf        error             // why the command has no cgroup of its own
	leaf          *cgroup.Cgroup    // the cgroup that the command is to be started in; nil: it has none of its own
}

// ErrBusy says that another Run is under way in this process.
var ErrBusy = errors.New("another command is being supervised by this process")

// UsageError says which field of a Config cannot be used.
type UsageError struct {
	Field string
	Value any
	Why   string
}

func (e *UsageError) Error() string { return fmt.Sprintf("%s %v: %s", e.Field, e.Value, e.Why) }

// pauseIgnores names an option that is about a command, or is empty.
func (c *Config) pauseIgnores() string {
	switch {
	case c.StopDelay > 0:
		return "--stop-delay"
	case c.StopGrace != Off && len(c.Escalate) == 0:
		return "--stop-grace: its clock is --grace"
	case c.PreserveStatus:
		return "--preserve-status"
	case len(c.Expect) > 0:
		return "--expect"
	case len(c.StopExit) > 0:
		return "--stop-exit"
	case c.Forward != ForwardChild:
		return "--forward"
	}
	return ""
}

const maxHostname = 64 // __NEW_UTS_LEN

// setDefaults fills zero values in. It returns an error that names the first field that is out of
// range.
func (c *Config) setDefaults(role nsutil.Role) error {
	if err := c.setLadders(); err != nil {
		return err
	}
	if c.TimeoutExit == 0 {
		c.TimeoutExit = DefaultTimeoutExit
	}
	switch {
	case c.GiveUp == 0:
		c.GiveUp = DefaultGiveUp
	case c.GiveUp < 0:
		c.GiveUp = Off
	}
	bad := func(field string, value any, why string) error {
		return &UsageError{Field: field, Value: value, Why: why}
	}
	switch {
	case len(c.Args) == 0 && !c.Pause:
		return bad("Args", "[]", "no command")
	case len(c.Args) > 0 && c.Pause:
		return bad("Pause", "", "no command can be given with it")
	case c.Pause && (c.Unshare != 0 || len(c.Join) > 0):
		return bad("Pause", "", "there is no command that could be in namespaces")
	case c.Pause && c.pauseIgnores() != "":
		return bad("Pause", "", "has no use for "+c.pauseIgnores())
	case c.StopSignal < 1 || c.StopSignal > signals.RTMax:
		return bad("StopSignal", int(c.StopSignal), "not a signal")
	case c.GiveUp != Off && c.GiveUp < MinGiveUp:
		return bad("GiveUp", c.GiveUp, "must be at least "+MinGiveUp.String())
	case c.TimeoutExit < TimeoutExitZero || c.TimeoutExit > 255:
		return bad("TimeoutExit", c.TimeoutExit, "must be within 1-255, or TimeoutExitZero")
	case c.Timeout < 0:
		return bad("Timeout", c.Timeout, "must not be negative")
	case c.StopDelay < 0:
		return bad("StopDelay", c.StopDelay, "must not be negative")
	case c.Leftovers > LeftoversLeave:
		return bad("Leftovers", int(c.Leftovers), "not a policy")
	case c.Leftovers == LeftoversLeave && role == nsutil.RoleInit:
		return bad("Leftovers", c.Leftovers, "as PID 1 nothing can be left: the kernel kills the PID namespace with it")
	case c.Forward > ForwardAll:
		return bad("Forward", int(c.Forward), "not a target")
	case c.Hostname != "" && !c.Unshare.Has(nsutil.UTSNamespace):
		return bad("Hostname", c.Hostname, "needs a UTS namespace of the command's own (--unshare uts)")
	case len(c.Hostname) > maxHostname || strings.IndexByte(c.Hostname, 0) >= 0:
		return bad("Hostname", c.Hostname, "must be at most 64 bytes")
	case c.MapRoot && !c.Unshare.Has(nsutil.UserNamespace):
		return bad("MapRoot", "", "needs a user namespace of the command's own (--unshare user)")
	case c.Cgroup > CgroupRequire:
		return bad("Cgroup", int(c.Cgroup), "not a mode")
	case c.ParentDeath < 0 || c.ParentDeath > signals.RTMax:
		return bad("ParentDeath", int(c.ParentDeath), "not a signal")
	}
	return nil
}
