package machine

import (
	"fmt"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Machine is the state of a run, and what follows from events (see the package).
type Machine struct {
	Setup
	state  ending.State
	alive  bool // the command runs, or is a zombie that the machine was not told of
	zombie bool // it has ended, and cannot be reaped so far

	job       bool // the command is in the process group of finite's caller, which is a shell that controls jobs
	stopped   bool // the command is stopped by a signal
	continues int  // how often it was sent SIGCONT since the last stop signal
	asked     bool // a stop signal has come, other than the terminal's, whose user may stop the job
	armed     [TimerCount]bool

	cause     ending.Cause
	change    reap.Change // how the command ended, where cause.Known
	survivors []inspect.Survivor
	gaveUp    bool
	leftovers bool // what is left has been dealt with once, by policy
	overdue   bool // a deadline came after the command's end
	endAsked  bool // a stop or a deadline came after the command's end
	counts    ending.Counts
	pid       int // 0 until it runs

	now       time.Duration // when the event under way happened
	ladder    ending.Ladder // that is climbed: an ending with a clock is under way; nil: none
	begun     time.Duration // when that was begun
	requested bool          // it is that of a stop that was requested
	reached   int           // the rungs of it that were done
	killAt    time.Duration // when everything is killed, at the end of the ladder or before
	nextAt    time.Duration // when TimerLadder is over
	early     int           // the rungs before the deadline that are behind
	noticed   int           // and those that are due

	cloning bool             // the command is being started: it cannot be taken back
	kept    []signals.Signal // what arrived meanwhile
	delayed signals.Signal   // a stop signal that is held back, while timerStopDelay is armed
	pending Event            // EvDeadline, EvCancel or EvLifeline that came meanwhile

	actions []Action // what handle returns: valid until the next call
	room    [8]Action
}

// Setup is what a machine knows of a run before that begins.
type Setup struct {
	Policy    *ending.Policy
	Role      nsutil.Role
	Command   string      // its name, for messages
	Ignored   signals.Set // what was ignored when finite was started, as far as that is known
	HasCgroup bool        // the command has a cgroup of its own
}

// Init begins.
func (m *Machine) Init(s Setup) { m.Setup, m.actions = s, m.room[:0] }

// Handle takes one event and returns what is to be done about it. The slice is used again by the
// next call.
func (m *Machine) Handle(ev Event) []Action {
	m.actions, m.now = m.actions[:0], ev.At
	if m.state == ending.StateEnded {
		m.counts.Unexpected++
		return m.actions
	}
	switch ev.Kind {
	case EvCloning:
		m.cloning = true
	case EvPaused:
		m.transition(ending.StateRunning, "waiting for a signal")
	case EvStarted:
		m.started(ev)
	case EvStartFailed:
		m.startFailed(ev)
	case EvSignal:
		m.signalled(ev.Signal)
	case EvExited:
		m.exited(ev)
	case EvHeld:
		m.isHeld(ev)
	case EvStopped:
		m.jobControl(ev.Change)
	case EvReaped:
		m.reaped(ev)
	case EvRemaining:
		m.endAsked = m.endAsked || ev.Asked
		m.remaining()
	case EvEmpty:
		m.empty()
	case EvNamespace:
		m.namespace(ev.Empty)
	case EvDeadline, EvCancel, EvLifeline:
		m.endAskedBy(ev)
	case EvTimer:
		m.timer(ev)
	case EvSurvivors:
		m.surveyed(ev)
	case EvNotice:
		m.notice(ev.Count)
	case EvDumped:
		m.dumped()
	case EvOOM:
		m.outOfMemory(ev)
	case EvFrontGone:
		m.frontGone()
	case EvKilled:
		if m.state < ending.StateKilling {
			m.kill("everything was killed")
		}
	case EvListening:
		m.note(ending.LevelDebug, "all signals are caught")
	case EvTrouble:
		m.note(ending.LevelWarn, ev.Err.Error())
	default:
		m.unexpected(ev.Kind)
	}
	return m.actions
}

func (m *Machine) do(a Action) { m.actions = append(m.actions, a) }

func (m *Machine) note(l ending.Level, why string) { m.do(Action{Kind: ActNote, Level: l, Why: why}) }

func (m *Machine) arm(id TimerID, length time.Duration) {
	if !m.armed[id] {
		m.armed[id] = true
		m.do(Action{Kind: ActArm, Timer: id, Length: length})
	}
}

func (m *Machine) disarm(id TimerID) {
	if m.armed[id] {
		m.armed[id] = false
		m.do(Action{Kind: ActDisarm, Timer: id})
	}
}

func (m *Machine) transition(to ending.State, why string) {
	if m.state == to {
		return
	}
	m.do(Action{Kind: ActTransition, From: m.state, To: to, Why: why})
	m.state = to
}

func (m *Machine) end(why string) {
	if m.counts.LeftoversKilled > 0 {
		whose := "the command had left"
		if m.Policy.Pause {
			whose = "had been there"
		}
		m.note(
			ending.LevelWarn,
			"killed "+text.Plural(m.counts.LeftoversKilled, "process", "processes")+" that "+whose,
		)
	}
	m.transition(ending.StateEnded, why)
	m.do(Action{Kind: ActEnd})
}

func (m *Machine) unexpected(kind eventKind) {
	m.counts.Unexpected++
	m.note(ending.LevelInfo, fmt.Sprintf("ignored: %v while %v", kind, m.state))
}

// DescribeSender names who has sent a signal, for a line of the log.
func DescribeSender(s signals.Sender) string {
	switch {
	case !s.Known:
		return ""
	case s.Kernel:
		return " from the kernel"
	case s.PID == 0 && !s.Claimed:
		return " from outside the PID namespace"
	}
	by := fmt.Sprintf(" from pid %d (uid %d)", s.PID, s.UID)
	if s.Comm != "" {
		by = fmt.Sprintf(" from %s (pid %d, uid %d)", s.Comm, s.PID, s.UID)
	}
	if s.Claimed {
		by += ", as the sender claims"
	}
	return by
}

// Outcome is what a run has come to so far.
type Outcome struct {
	State     ending.State
	Running   bool // there is a command that was not reaped
	Remaining bool // the command has left others, which are being dealt with
	Overdue   bool // a deadline was reached
	Early     int  // how many rungs before the deadline are due
	PID       int  // 0 if the command never ran
	Cause     ending.Cause
	Rusage    reap.Rusage
	Counts    ending.Counts
	Survivors []inspect.Survivor
	GaveUp    bool
}

// Outcome is what the run has come to so far.
func (m *Machine) Outcome() Outcome {
	return Outcome{
		State: m.state, Running: m.alive, Remaining: m.leftovers,
		Overdue: m.overdue || m.cause.Kind == ending.KindDeadline, Early: m.noticed,
		PID: m.pid, Cause: m.cause, Rusage: m.change.Rusage, Counts: m.counts, Survivors: m.survivors,
		GaveUp: m.gaveUp,
	}
}

// KillAt is when everything is killed, or was. It is not known while no ending with a clock is
// under way.
func (m *Machine) KillAt() (at time.Duration, known bool) {
	return m.killAt, m.climbing() || m.state == ending.StateKilling || m.state == ending.StateSurvey
}

// Recall has the machine of a run that goes on count from there.
func (m *Machine) Recall(counts ending.Counts) {
	c := &m.counts
	c.Forwarded, c.Undelivered, c.Orphans = counts.Forwarded, counts.Undelivered, counts.Orphans
	c.LeftoversTerminated, c.LeftoversKilled = counts.LeftoversTerminated, counts.LeftoversKilled
}
