package pid1

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// endOf says what an event that asks for the end ends a run with.
func endOf(ev event) (kind Kind, why string) {
	switch {
	case ev.kind == evDeadline:
		return KindDeadline, "the deadline was reached"
	case ev.kind == evLifeline:
		return KindLifeline, "the lifeline has hung up"
	case ev.err != nil:
		return KindStopRequested, ev.err.Error()
	}
	return KindStopRequested, "the context was cancelled"
}

func (m *machine) overdue(ev event) {
	kind, why := endOf(ev)
	switch m.state {
	case stateStarting:
		if !m.cloning {
			m.cause = Cause{Kind: kind}
			m.note(levelWarn, why+" before the command was started")
			m.end(why)
			return
		}
		if m.pending.kind == evNone {
			m.pending = ev
		}
		m.arm(timerStart, m.startLimit())
	case stateRunning:
		if m.cfg.Pause {
			m.cause = Cause{Kind: kind}
			m.note(levelWarn, why)
			m.endPause(why)
			return
		}
		m.beginEnding(ev.gone, kind, why)
	case stateStopping:
		switch {
		case m.climbing():
			// An ending with a clock is under way, and stays the cause. The deadline can only bring
			// its kill forward.
			m.also(kind)
			m.note(levelWarn, why+" while a stop was under way")
			m.hurry(why)
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

// beginEnding is the first rung of the ladder. If the command is gone and only the word of it has
// not come yet, the ladder is climbed all the same, in case a tracer keeps the zombie, but nothing
// is said to have timed out.
func (m *machine) beginEnding(gone bool, kind Kind, why string) {
	if !gone {
		before := m.cause
		m.cause = Cause{Kind: kind}
		if kind == KindStopRequested || before.Kind == KindStopRequested {
			m.cause.By = before.By
		}
		if before.Kind != "" { // a request that has ended nothing
			m.also(before.Kind)
		}
		m.note(levelWarn, why+m.announce())
	}
	m.dropDelayed()
	ladder := m.cfg.ladders.ending
	if gone && !ladder.immediate() {
		ladder = m.cfg.ladders.later // never empty: see setLadders
	}
	if !ladder.immediate() || ladder.dumps() {
		m.transition(stateStopping, why)
	}
	m.climb(ladder, why)
}

// endPause ends what there is besides this process. Whether that is anybody, the reaper tells.
func (m *machine) endPause(why string) {
	m.transition(stateLeftovers, why)
	m.leftovers = true
	switch m.cfg.Leftovers {
	case LeftoversKill:
		m.kill(why)
	case LeftoversLeave:
		m.end("what is left is left alone")
		return
	default:
		m.terminateLeftovers(why)
	}
	m.do(action{kind: actLook})
}

func (m *machine) announce() string { return ": " + m.cfg.ladders.ending.announce() }

// maxContinues is how often a stopped command is continued so that it can act on a stop signal. A
// SIGTSTP, SIGTTIN or SIGTTOU that was pending may have its handler stop the command again, each
// once. A command that stops itself again and again stays stopped, until the grace time is over
// where there is one.
const maxContinues = 4

// resume sends SIGCONT to a stopped command, and to its process group.
func (m *machine) resume() {
	if m.continues >= maxContinues {
		return
	}
	m.continues++
	m.do(action{kind: actSend, sig: unix.SIGCONT, target: max(m.cfg.Forward, ForwardGroup)})
}

// kill is the last rung: everything, until nothing is left or it is given up.
func (m *machine) kill(why string) {
	m.transition(stateKilling, why)
	m.ladder, m.reached, m.due = nil, 0, 0
	m.disarm(timerGrace)
	m.disarm(timerDeadline)
	m.disarm(timerDump)
	m.overdueKill = false
	m.disarm(timerStart)
	m.disarm(timerSettle)
	m.dropDelayed()
	if m.alive {
		m.do(action{kind: actSend, sig: unix.SIGKILL, target: ForwardChild})
	}
	m.do(action{kind: actKillTree})
	if m.cfg.GiveUp != Off {
		m.arm(timerGiveUp, m.cfg.GiveUp)
	}
}

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
	case timerGrace:
		m.reach("the grace time is over")
	case timerDeadline:
		if m.overdueKill = m.armed[timerDump]; !m.overdueKill {
			m.graceOver()
		}
	case timerThaw:
		if m.state != stateKilling && m.state != stateSurvey {
			m.do(action{kind: actThaw})
		}
	case timerDump:
		m.note(levelWarn, "the snapshot takes too long")
		m.dumped()
	case timerGiveUp:
		if m.state == stateKilling {
			m.gaveUp = true
			m.transition(stateSurvey, "the give-up time is over")
			m.do(action{kind: actSurvey})
			m.arm(timerSurvey, surveyLimit)
		}
	case timerStopDelay:
		m.delayOver()
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
	kind, _ := endOf(m.pending)
	if m.cause = (Cause{Kind: kind}); kind == KindStopRequested {
		m.cause.By = by
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

// frontGone ends everything at once: nobody waits for it any more.
func (m *machine) frontGone() {
	const why = "finite was killed"
	switch {
	case m.state >= stateKilling:
		m.also(KindFiniteKilled)
		return
	case m.alive && m.cause.Kind == "":
		m.cause = Cause{Kind: KindFiniteKilled}
	default:
		m.also(KindFiniteKilled)
	}
	m.note(levelWarn, why+": SIGKILL to everything")
	m.kill(why)
}
