package pid1

import (
	"fmt"
	"time"

	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// machine decides. It is told events, one at a time, and answers with actions, which its owner
// carries out in order before the next event. It makes no system call and has no clock: time passes
// in timers that it asks for.
//
//	starting ──► running ──► stopping ──► leftovers ──► ended
//	    │           │            │            │           ▲
//	    └───────────┴────────────┴────────────┴► killing ─┴─► survey
//
// What holds in every run: states only go forward; the command is not signalled before evStarted
// nor after evExited; actEnd comes once, and last; and once an ending has begun, it is reached if
// timers fire, whatever else does or does not happen.
type machine struct {
	cfg  *Config
	role nsutil.Role

	state  state
	alive  bool // the command runs, or is a zombie that the machine was not told of
	zombie bool // it has ended, and cannot be reaped so far

	job       bool // the command is in the process group of finite's caller, which is a shell that controls jobs
	stopped   bool // the command is stopped by a signal
	continues int  // how often it was sent SIGCONT since the last stop signal
	asked     bool // a stop signal has come, other than the terminal's, whose user may stop the job
	armed     [timerCount]bool

	cause      Cause
	change     reap.Change // how the command ended, where cause.Known
	survivors  []inspect.Survivor
	gaveUp     bool
	leftovers  bool // what is left has been dealt with once, by policy
	graceArmed bool // the grace time runs for the leftovers alone: it is the deadline's own
	late       bool // a deadline came after the command's end
	endAsked   bool // a stop or a deadline came after the command's end
	counts     Counts
	pid        int // 0 until it runs

	ladder      Ladder // that is climbed; nil: none
	reached     int    // the rungs of it that were done
	due         int    // the rungs of it that are due: one waits for a snapshot before it
	early       int    // the rungs before the deadline that are behind
	noticed     int    // and those that are due
	overdueKill bool   // the deadline's kill waits for a snapshot

	cloning bool             // the command is being started: it cannot be taken back
	held    []signals.Signal // what arrived meanwhile
	delayed signals.Signal   // a stop signal that is held back, while timerStopDelay is armed
	pending event            // evDeadline, evCancel or evLifeline that came meanwhile

	actions []action // what handle returns: valid until the next call
	room    [8]action
}

func (m *machine) init(cfg *Config, role nsutil.Role) {
	m.cfg, m.role, m.actions = cfg, role, m.room[:0]
}

// handle takes one event and returns what is to be done about it. The slice is used again by the
// next call.
func (m *machine) handle(ev event) []action {
	m.actions = m.actions[:0]
	if m.state == stateEnded {
		m.counts.Unexpected++
		return m.actions
	}
	switch ev.kind {
	case evCloning:
		m.cloning = true
	case evPaused:
		m.transition(stateRunning, "waiting for a signal")
	case evStarted:
		m.started(ev)
	case evStartFailed:
		m.startFailed(ev)
	case evSignal:
		m.signalled(ev.signal)
	case evExited:
		m.exited(ev)
	case evHeld:
		m.isHeld(ev)
	case evStopped:
		m.jobControl(ev.change)
	case evReaped:
		m.reaped(ev)
	case evRemaining:
		m.remaining()
	case evEmpty:
		m.empty()
	case evNamespace:
		m.namespace(ev.empty)
	case evDeadline, evCancel, evLifeline:
		m.overdue(ev)
	case evTimer:
		m.timer(ev.timer)
	case evSurvivors:
		m.surveyed(ev)
	case evNotice:
		m.notice(ev.count)
	case evDumped:
		m.dumped()
	case evOOM:
		m.outOfMemory(ev)
	case evFrontGone:
		m.frontGone()
	case evListening:
		m.note(levelDebug, "all signals are caught")
	case evTrouble:
		m.note(levelWarn, ev.err.Error())
	default:
		m.unexpected(ev.kind)
	}
	return m.actions
}

func (m *machine) do(a action) { m.actions = append(m.actions, a) }

func (m *machine) note(l level, why string) { m.do(action{kind: actNote, level: l, why: why}) }

func (m *machine) arm(id timerID, length time.Duration) {
	if !m.armed[id] {
		m.armed[id] = true
		m.do(action{kind: actArm, timer: id, length: length})
	}
}

func (m *machine) disarm(id timerID) {
	if m.armed[id] {
		m.armed[id] = false
		m.do(action{kind: actDisarm, timer: id})
	}
}

func (m *machine) transition(to state, why string) {
	if m.state == to {
		return
	}
	m.do(action{kind: actTransition, from: m.state, to: to, why: why})
	m.state = to
}

func (m *machine) end(why string) {
	if m.counts.LeftoversKilled > 0 {
		whose := "the command had left"
		if m.cfg.Pause {
			whose = "had been there"
		}
		m.note(levelWarn, "killed "+text.Plural(m.counts.LeftoversKilled, "process", "processes")+" that "+whose)
	}
	m.transition(stateEnded, why)
	m.do(action{kind: actEnd})
}

func (m *machine) unexpected(kind eventKind) {
	m.counts.Unexpected++
	m.note(levelInfo, fmt.Sprintf("ignored: %v while %v", kind, m.state))
}

func describeSender(s signals.Sender) string {
	switch {
	case !s.Known:
		return ""
	case s.Kernel:
		return " from the kernel"
	case s.PID == 0:
		return " from outside the PID namespace"
	case s.Comm != "":
		return fmt.Sprintf(" from %s (pid %d, uid %d)", s.Comm, s.PID, s.UID)
	}
	return fmt.Sprintf(" from pid %d (uid %d)", s.PID, s.UID)
}
