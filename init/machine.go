package pid1

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// machine decides. It is told events, one at a time, and answers with actions, which its owner carries out in order before the
// next event. It makes no system call and has no clock: time passes in timers that it asks for.
//
//	starting ──► running ──► stopping ──► leftovers ──► ended
//	    │           │            │            │           ▲
//	    └───────────┴────────────┴────────────┴► killing ─┴─► survey
//
// What holds in every run: states only go forward; the command is not signalled before evStarted nor after evExited; actEnd comes
// once, and last; and once an ending has begun, it is reached if timers fire, whatever else does or does not happen.
type machine struct {
	cfg  *Config
	role nsutil.Role

	state state
	alive bool // the command runs, or is a zombie that the machine was not told of

	stopped   bool // the command is stopped by a signal
	continued bool // it was sent SIGCONT for the stop signal that is under way
	armed     [timerCount]bool

	cause      Cause
	change     reap.Change // how the command ended, where cause.Known
	survivors  []nsutil.Survivor
	gaveUp     bool
	leftovers  bool // what is left has been dealt with once, by policy
	graceArmed bool // the grace time runs for the leftovers alone: it is the deadline's own
	late       bool // a deadline came after the command's end
	endAsked   bool // a stop or a deadline came after the command's end
	treeKilled bool
	counts     Counts
	pid        int // 0 until it runs

	cloning bool             // the command is being started: it cannot be taken back
	held    []signals.Signal // what arrived meanwhile
	pending eventKind        // evDeadline or evCancel that came meanwhile

	actions []action // what handle returns: valid until the next call
}

func newMachine(cfg *Config, role nsutil.Role) *machine {
	return &machine{cfg: cfg, role: role, actions: make([]action, 0, 16)}
}

// handle takes one event and returns what is to be done about it. The slice is used again by the next call.
func (m *machine) handle(ev event) []action {
	m.actions = m.actions[:0]
	if m.state == stateEnded {
		m.counts.Unexpected++
		return m.actions
	}
	switch ev.kind {
	case evCloning:
		m.cloning = true
	case evStarted:
		m.started(ev)
	case evStartFailed:
		m.startFailed(ev)
	case evSignal:
		m.signalled(ev.signal)
	case evExited:
		m.exited(ev)
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
	case evDeadline, evCancel:
		m.overdue(ev)
	case evTimer:
		m.timer(ev.timer)
	case evSurvivors:
		m.surveyed(ev)
	case evListening:
		m.note(levelDebug, "all signals are caught")
	case evTrouble:
		m.note(levelWarn, ev.err.Error())
	default:
		m.unexpected(ev.kind)
	}
	return m.actions
}

// Starting.

func (m *machine) started(ev event) {
	if m.pid != 0 {
		m.unexpected(ev.kind)
		return
	}
	m.pid, m.alive = ev.pid, true
	if m.state != stateStarting { // given up on, and here all the same
		m.do(action{kind: actSend, sig: unix.SIGKILL, target: ForwardChild})
		return
	}
	m.disarm(timerStart)
	m.cause = Cause{}
	m.transition(stateRunning, "the command was started")
	for _, sig := range m.held {
		m.signalled(sig)
	}
	m.held = nil
	if m.pending != evNone {
		m.overdue(event{kind: m.pending})
	}
}

func (m *machine) startFailed(ev event) {
	if m.pid != 0 || m.state != stateStarting {
		m.unexpected(ev.kind)
		return
	}
	m.cause = Cause{Kind: KindStartFailed, Step: ev.step, Err: ev.err}
	m.note(levelError, fmt.Sprintf("cannot run %q: %v", m.cfg.Args[0], ev.err))
	m.end("the command could not be started")
}

// hold keeps a signal for the command that is being started. A stop before that was begun ends the run with nothing started; one
// that waits for a start that hangs (an executable on a file system that does not answer) waits for the give-up time.
func (m *machine) hold(sig signals.Signal, stop bool) {
	if stop {
		by := By{Signal: sig.Number, Sender: sig.Sender}
		if !m.cloning {
			m.cause = Cause{Kind: KindStopRequested, By: by}
			m.counts.Undelivered++
			m.note(levelWarn, "stop requested by "+signals.Name(sig.Number)+describeSender(sig.Sender)+" before the command was started")
			m.end("a stop came first")
			return
		}
		if m.cause.By.Signal == 0 {
			m.cause.By = by
		}
		m.arm(timerStart, m.startLimit())
	}
	const most = 1024 // a bound on memory
	if len(m.held) == most {
		m.counts.Undelivered++
		return
	}
	m.held = append(m.held, sig)
}

// Signals.

func (m *machine) signalled(sig signals.Signal) {
	arrived := sig.Number
	number, keep := m.cfg.Rewrite.Apply(arrived)
	if !keep {
		m.counts.Undelivered++
		m.note(levelDebug, signals.Name(arrived)+" dropped by a rule")
		return
	}
	stop := signals.IsStop(arrived) || signals.IsStop(number)
	switch m.state {
	case stateStarting:
		m.hold(sig, stop)
	case stateRunning, stateStopping:
		if number == unix.SIGCONT {
			m.do(action{kind: actForeground})
		}
		sig.Number = number
		if number == unix.SIGCONT && m.stopped {
			// A terminal, and the shell behind it, stop and continue process groups: the command may wait for a child that was stopped with it.
			m.forward(sig, max(m.cfg.Forward, ForwardGroup))
		} else {
			m.forward(sig, m.cfg.Forward)
		}
		if stop {
			m.stopRequested(arrived, number, sig.Sender)
		}
	case stateLeftovers:
		// The command is gone, and its process group's number may already be somebody else's.
		if m.cfg.Forward == ForwardAll {
			sig.Number = number
			m.forward(sig, ForwardAll)
		} else {
			m.counts.Undelivered++
		}
		if stop {
			m.endLeftovers("a stop was requested by " + signals.Name(arrived))
		}
	default:
		m.counts.Undelivered++
	}
}

func (m *machine) forward(sig signals.Signal, target Forward) {
	m.counts.Forwarded++
	m.do(action{kind: actForward, signal: sig, target: target})
}

// forwardFailed takes back what forward counted, when the kernel refused.
func (m *machine) forwardFailed() {
	m.counts.Forwarded--
	m.counts.Undelivered++
}

// stopRequested begins an ending that a signal asked for. SIGHUP alone, without a clock, is a plain signal: programs reload on it.
func (m *machine) stopRequested(arrived, number unix.Signal, sender signals.Sender) {
	m.continued = false
	if m.stopped {
		m.resume()
	}
	if m.state == stateStopping {
		return
	}
	if m.cfg.StopGrace == Off && (arrived == unix.SIGHUP && (number == unix.SIGHUP || !signals.IsStop(number))) {
		return
	}
	m.cause = Cause{Kind: KindStopRequested, By: By{Signal: arrived, Sender: sender}}
	m.transition(stateStopping, "a stop was requested by "+signals.Name(arrived))
	m.note(levelWarn, "stop requested by "+signals.Name(arrived)+describeSender(sender))
	if m.cfg.StopGrace != Off {
		m.arm(timerGrace, m.cfg.StopGrace)
	}
}

// Deadline and cancellation.

func (m *machine) overdue(ev event) {
	kind, why := KindDeadline, "the deadline was reached"
	if ev.kind == evCancel {
		kind, why = KindStopRequested, "the context was cancelled"
	}
	switch m.state {
	case stateStarting:
		if !m.cloning {
			m.cause = Cause{Kind: kind}
			m.note(levelWarn, why+" before the command was started")
			m.end(why)
			return
		}
		if m.pending == evNone {
			m.pending = ev.kind
		}
		m.arm(timerStart, m.startLimit())
	case stateRunning:
		m.beginEnding(ev.gone, kind, why)
	case stateStopping:
		switch {
		case m.armed[timerGrace]:
			// An ending with a clock is under way, and stays the cause. The deadline can only bring its kill forward.
			m.note(levelWarn, why+" while a stop was under way")
			if m.immediate() {
				m.kill(why)
			} else {
				m.arm(timerDeadline, m.cfg.Grace)
			}
		case !m.armed[timerDeadline]:
			// A request that has no clock ended nothing so far: it is the deadline that does.
			m.beginEnding(ev.gone, kind, why)
		}
	case stateLeftovers:
		m.late = true
		m.endLeftovers(why)
		m.hurryLeftovers(why)
	default: // it is being killed already
	}
}

// beginEnding is the first rung of the ladder. If the command is gone and only the word of it has not come yet, the ladder is
// climbed all the same, in case a tracer keeps the zombie, but nothing is said to have timed out.
func (m *machine) beginEnding(gone bool, kind Kind, why string) {
	if !gone {
		by := m.cause.By
		m.cause = Cause{Kind: kind}
		if kind == KindStopRequested {
			m.cause.By = by
		}
		m.note(levelWarn, why+m.announce())
	}
	if m.immediate() {
		m.kill(why)
		return
	}
	m.transition(stateStopping, why)
	if !gone {
		m.do(action{kind: actSend, sig: m.cfg.StopSignal, target: m.cfg.Forward})
		m.continued = false
		if m.stopped {
			m.resume()
		}
	}
	m.arm(timerGrace, m.cfg.Grace)
}

// immediate reports whether an ending of finite's own has no other rung than the kill.
func (m *machine) immediate() bool { return m.cfg.Grace == 0 || m.cfg.StopSignal == unix.SIGKILL }

func (m *machine) announce() string {
	if m.immediate() {
		return ": SIGKILL to everything"
	}
	return fmt.Sprintf(": %s, and SIGKILL to everything in %v", signals.Name(m.cfg.StopSignal), m.cfg.Grace)
}

// resume sends SIGCONT to a stopped command, and to its process group, so that it can act on the stop signal it was sent; once, since a command may stop
// itself again for ever.
func (m *machine) resume() {
	if m.continued {
		return
	}
	m.continued = true
	m.do(action{kind: actSend, sig: unix.SIGCONT, target: max(m.cfg.Forward, ForwardGroup)})
}

// kill is the last rung: everything, until nothing is left or it is given up.
func (m *machine) kill(why string) {
	m.transition(stateKilling, why)
	m.disarm(timerGrace)
	m.disarm(timerDeadline)
	m.disarm(timerStart)
	m.disarm(timerSettle)
	if m.alive {
		m.do(action{kind: actSend, sig: unix.SIGKILL, target: ForwardChild})
	}
	m.treeKilled = true
	m.do(action{kind: actKillTree})
	if m.cfg.GiveUp != Off {
		m.arm(timerGiveUp, m.cfg.GiveUp)
	}
}

// Children.

func (m *machine) exited(ev event) {
	if !m.alive || ev.change.PID != m.pid {
		m.unexpected(ev.kind)
		return
	}
	m.alive, m.stopped = false, false
	m.change = ev.change
	m.cause.Known = true
	m.cause.Signal, m.cause.ExitCode, m.cause.CoreDumped = 0, 0, false
	if c := ev.change; c.Code == reap.CodeExited {
		m.cause.ExitCode = c.Status & 0xff
	} else {
		m.cause.Signal, m.cause.CoreDumped = c.Signal(), c.Code == reap.CodeDumped
	}
	if m.cause.Kind == "" {
		m.cause.Kind = KindExited
		if m.cause.Signal != 0 {
			m.cause.Kind = KindSignaled
		}
	}
	if m.state == stateKilling || m.state == stateSurvey {
		return
	}
	// The grace time of an ending that is under way goes on: it is the time until SIGKILL for all.
	m.transition(stateLeftovers, ev.change.String())
	m.arm(timerSettle, settleLimit)
}

func (m *machine) jobControl(c reap.Change) {
	if !m.alive || c.PID != m.pid {
		m.unexpected(evStopped)
		return
	}
	m.stopped = c.Code != reap.CodeContinued
	if !m.stopped {
		return
	}
	m.note(levelDebug, c.String())
	switch {
	case m.state == stateStopping:
		m.resume()
	case m.state == stateRunning && signals.IsJobStop(c.Signal()):
		m.do(action{kind: actSuspend, sig: c.Signal()})
	}
}

func (m *machine) reaped(ev event) {
	m.counts.Orphans += ev.count
	killed := 0
	if m.treeKilled {
		killed = ev.killed
	}
	m.counts.LeftoversKilled += killed
	if m.pid != 0 && !m.alive {
		m.counts.LeftoversTerminated += ev.count - killed
	}
}

// remaining is the word that the command is gone and others are not.
func (m *machine) remaining() {
	if m.state != stateLeftovers || m.leftovers {
		return
	}
	m.leftovers = true
	m.disarm(timerSettle)
	switch m.cfg.Leftovers {
	case LeftoversKill:
		m.kill("the command has ended and left others")
	case LeftoversLeave:
		m.end("what is left is left alone")
	case LeftoversWait:
		asked := m.endAsked || m.armed[timerGrace] || m.armed[timerDeadline] || m.cause.Kind == KindStopRequested
		if !asked {
			m.note(levelInfo, "the command has ended; waiting for what it left")
			break
		}
		m.terminateLeftovers("a stop is under way")
	default:
		m.terminateLeftovers("the command has ended and left others")
	}
	m.hurryLeftovers("the deadline was reached")
}

// endLeftovers is a stop or a deadline after the command's end: what is being waited for is terminated. Under every other policy
// that is happening already.
func (m *machine) endLeftovers(why string) {
	if m.endAsked {
		return
	}
	m.endAsked = true
	if m.cfg.Leftovers == LeftoversWait && m.leftovers && !m.armed[timerGrace] && !m.armed[timerDeadline] {
		m.terminateLeftovers(why)
	}
}

// hurryLeftovers is the deadline of what the command has left: if an ending with a longer clock (--stop-grace) is under way, its kill is
// brought forward.
func (m *machine) hurryLeftovers(why string) {
	switch {
	case !m.late || !m.leftovers || m.state != stateLeftovers || m.cfg.Leftovers == LeftoversLeave:
	case m.immediate():
		m.kill(why)
	case !m.graceArmed:
		m.arm(timerDeadline, m.cfg.Grace)
	}
}

func (m *machine) terminateLeftovers(why string) {
	if m.immediate() {
		m.kill(why)
		return
	}
	m.do(action{kind: actTerminate, sig: m.cfg.StopSignal})
	if m.armed[timerGrace] || m.armed[timerDeadline] {
		m.note(levelInfo, why+": "+signals.Name(m.cfg.StopSignal)+", and SIGKILL when the time of the stop that is under way is over")
		return
	}
	m.note(levelInfo, why+m.announce())
	m.graceArmed = true
	m.arm(timerGrace, m.cfg.Grace)
}

// empty is ECHILD. As PID 1 there may still be processes that came in from outside and are nobody's children here.
func (m *machine) empty() {
	switch {
	case m.state == stateStarting:
		m.unexpected(evEmpty)
	case m.state == stateSurvey: // just in time, but the survey answers first: it will find nobody
	case m.alive:
		// Only if another wait in this process took the command's status away. There is nobody left to wait for.
		m.unexpected(evEmpty)
		m.alive = false
		if m.cause.Kind == "" {
			m.cause.Kind = KindExited
		}
		m.note(levelError, "the command is gone and its exit status was taken by another wait in this process")
		m.end("nothing is left")
	case m.role == nsutil.RoleInit:
		m.do(action{kind: actProbe})
	default:
		m.end("nothing is left")
	}
}

func (m *machine) namespace(empty bool) {
	switch {
	case m.state != stateLeftovers && m.state != stateKilling:
		return
	case empty:
		m.end("nothing is left")
	default:
		m.remaining()
		if m.state != stateEnded {
			m.arm(timerProbe, probeInterval)
		}
	}
}

// Timers.

// Times that are nobody's to choose.
const (
	probeInterval = 50 * time.Millisecond // between questions whether a PID namespace is empty; nothing tells when it becomes so
	settleLimit   = time.Second           // from the command's end until its leftovers are dealt with, if no word of them comes
	surveyLimit   = time.Second           // for the description of survivors; /proc may be slow, never that slow
)

// startLimit is how long an ending waits for a start that is under way.
func (m *machine) startLimit() time.Duration {
	if m.cfg.GiveUp == Off {
		return DefaultGiveUp
	}
	return m.cfg.GiveUp
}

func (m *machine) timer(id timerID) {
	if id >= timerCount || !m.armed[id] {
		return // it was over at the moment it was stopped
	}
	m.armed[id] = false
	switch id {
	case timerStart:
		m.startOverdue()
	case timerGrace, timerDeadline:
		why := "the grace time is over"
		m.note(levelWarn, why+": SIGKILL to everything that is left")
		m.kill(why)
	case timerGiveUp:
		if m.state == stateKilling {
			m.gaveUp = true
			m.transition(stateSurvey, "the give-up time is over")
			m.do(action{kind: actSurvey})
			m.arm(timerSurvey, surveyLimit)
		}
	case timerProbe:
		m.do(action{kind: actLook})
	case timerSettle:
		m.remaining()
	case timerSurvey:
		m.note(levelWarn, "gave up: processes are left, and /proc did not say in time which")
		m.end("gave up")
	}
}

// startOverdue ends a run whose start hangs: what is there of the command is killed with the tree.
func (m *machine) startOverdue() {
	if m.state != stateStarting {
		return
	}
	by := m.cause.By
	if m.pending == evDeadline {
		m.cause = Cause{Kind: KindDeadline}
	} else {
		m.cause = Cause{Kind: KindStopRequested, By: by}
	}
	m.counts.Undelivered += len(m.held)
	m.held = nil
	m.note(levelWarn, "the command was still being started when its end was asked for")
	m.kill("the start takes too long")
}

func (m *machine) surveyed(ev event) {
	if m.state != stateSurvey {
		m.unexpected(ev.kind)
		return
	}
	m.survivors, m.gaveUp = ev.survivors, ev.err != nil || len(ev.survivors) > 0
	for _, s := range ev.survivors {
		m.note(levelWarn, fmt.Sprintf("gave up: pid %d (%s, state %c, uid %d) is left: %s", s.PID, s.Comm, s.State, s.UID, s.Why))
	}
	if ev.err != nil {
		m.note(levelWarn, fmt.Sprintf("gave up: processes are left, and it cannot be told which: %v", ev.err))
	}
	m.end("gave up")
}

// Answers.

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
		m.note(levelWarn, fmt.Sprintf("killed %d processes that the command had left", m.counts.LeftoversKilled))
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
	case s.PID == 0:
		return " from outside the PID namespace"
	case s.Comm != "":
		return fmt.Sprintf(" from %s (pid %d, uid %d)", s.Comm, s.PID, s.UID)
	}
	return fmt.Sprintf(" from pid %d (uid %d)", s.PID, s.UID)
}
