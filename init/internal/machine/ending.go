package machine

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
)

// endOf says what an event that asks for the end ends a run with.
func endOf(ev Event) (kind ending.Kind, why string) {
	switch {
	case ev.Kind == EvDeadline:
		return ending.KindDeadline, "the deadline was reached"
	case ev.Kind == EvLifeline:
		return ending.KindLifeline, "the lifeline has hung up"
	case ev.Err != nil:
		return ending.KindStopRequested, ev.Err.Error()
	}
	return ending.KindStopRequested, "the context was cancelled"
}

func (m *Machine) endAskedBy(ev Event) {
	kind, why := endOf(ev)
	switch m.state {
	case ending.StateStarting:
		if !m.cloning {
			m.cause = ending.Cause{Kind: kind}
			m.note(ending.LevelWarn, why+" before the command was started")
			m.end(why)
			return
		}
		if m.pending.Kind == EvNone {
			m.pending = ev
		}
		m.arm(timerStart, m.startLimit())
	case ending.StateRunning:
		if m.Policy.Pause {
			m.cause = ending.Cause{Kind: kind}
			m.note(ending.LevelWarn, why)
			m.endPause(why)
			return
		}
		m.beginEnding(ev.Gone, kind, why)
	case ending.StateStopping:
		switch {
		case m.climbing():
			// An ending with a clock is under way, and stays the cause. The deadline can only bring
			// its kill forward.
			m.also(kind)
			m.note(ending.LevelWarn, why+" while a stop was under way")
			m.hurry(why)
		default:
			// A request that has no clock ended nothing so far: it is the deadline that does.
			m.beginEnding(ev.Gone, kind, why)
		}
	case ending.StateLeftovers:
		m.overdue = true
		m.endLeftovers(why)
		m.hurryLeftovers(why)
	default: // it is being killed already
	}
}

// beginEnding is the first rung of the ladder. If the command is gone and only the word of it has
// not come yet, the ladder is climbed all the same, in case a tracer keeps the zombie, but nothing
// is said to have timed out.
func (m *Machine) beginEnding(gone bool, kind ending.Kind, why string) {
	if !gone {
		before := m.cause
		m.cause = ending.Cause{Kind: kind}
		if kind == ending.KindStopRequested || before.Kind == ending.KindStopRequested {
			m.cause.By = before.By
		}
		if before.Kind != "" { // a request that has ended nothing
			m.also(before.Kind)
		}
		m.note(ending.LevelWarn, why+m.announce())
	}
	m.dropDelayed()
	ladder := m.Policy.Ending
	if gone && !ladder.Immediate() {
		ladder = m.Policy.Later
	}
	if !ladder.Immediate() || ladder.Dumps() {
		m.transition(ending.StateStopping, why)
	}
	m.climb(ladder, why)
}

// endPause ends what there is besides this process. Whether that is anybody, the reaper tells.
func (m *Machine) endPause(why string) {
	m.transition(ending.StateLeftovers, why)
	m.leftovers = true
	switch m.Policy.Leftovers {
	case ending.LeftoversKill:
		m.kill(why)
	case ending.LeftoversLeave:
		m.end("what is left is left alone")
		return
	default:
		m.terminateLeftovers(why)
	}
	m.do(Action{Kind: ActLook})
}

func (m *Machine) announce() string { return ": " + m.Policy.Ending.Announce() }

// maxContinues is how often a stopped command is continued at once so that it can act on a stop
// signal. A SIGTSTP, SIGTTIN or SIGTTOU that was pending may have its handler stop the command
// again, each once. A command that stops itself more often is continued every continuePeriod,
// lateContinues times: the stop signal may reach it later, since a front tells of a signal before
// it sends it. Whoever stops a command after that has it stopped.
const (
	maxContinues   = 4
	lateContinues  = 10
	continuePeriod = time.Second
)

// resume sends SIGCONT to a stopped command, and to its process group.
func (m *Machine) resume() {
	m.continues++
	switch {
	case m.continues <= maxContinues:
		m.sendContinue()
	case m.continues <= maxContinues+lateContinues:
		m.arm(timerContinue, continuePeriod)
	}
}

func (m *Machine) sendContinue() {
	m.do(Action{Kind: ActSend, Sig: unix.SIGCONT, Target: max(m.Policy.Forward, ending.ForwardGroup)})
}

// kill is the last rung: everything, until nothing is left or it is given up.
func (m *Machine) kill(why string) {
	m.transition(ending.StateKilling, why)
	m.ladder, m.killAt = nil, m.now
	m.disarm(TimerLadder)
	m.disarm(timerDump)
	m.disarm(timerStart)
	m.disarm(timerSettle)
	m.disarm(timerContinue)
	m.dropDelayed()
	if m.alive {
		m.do(Action{Kind: ActSend, Sig: unix.SIGKILL, Target: ending.ForwardChild})
	}
	m.do(Action{Kind: ActKillTree})
	if m.Policy.GiveUp != ending.Never {
		m.arm(timerGiveUp, m.Policy.GiveUp)
	}
}

// Times that no option sets.
const (
	// Between questions whether a PID namespace is empty; nothing tells when it becomes so.
	probeInterval = 50 * time.Millisecond
	// From the command's end until its leftovers are dealt with, if no word of them comes.
	settleLimit  = time.Second
	longestStart = 5 * time.Second // that an ending without a limit waits for a start
	SurveyLimit  = time.Second     // for the description of survivors; /proc may be slow, never that slow
)

// startLimit is how long an ending waits for a start that is under way.
func (m *Machine) startLimit() time.Duration {
	if m.Policy.GiveUp == ending.Never {
		return longestStart
	}
	return m.Policy.GiveUp
}

func (m *Machine) timer(ev Event) {
	id := ev.Timer
	if id >= TimerCount || !m.armed[id] {
		return // it was over at the moment it was stopped
	}
	m.armed[id] = false
	switch id {
	case timerStart:
		m.startOverdue()
	case TimerLadder:
		if ev.Due {
			m.now = max(m.now, m.nextAt)
		}
		m.advance("the grace time is over")
	case timerContinue:
		if m.stopped && m.state == ending.StateStopping {
			m.sendContinue()
		}
	case timerThaw:
		if m.state != ending.StateKilling && m.state != ending.StateSurvey {
			m.do(Action{Kind: ActThaw})
		}
	case timerDump:
		m.note(ending.LevelWarn, "the snapshot takes too long")
		m.dumped()
	case timerGiveUp:
		if m.state == ending.StateKilling {
			m.gaveUp = true
			m.transition(ending.StateSurvey, "the give-up time is over")
			m.do(Action{Kind: ActSurvey})
			m.arm(timerSurvey, SurveyLimit)
		}
	case timerStopDelay:
		m.delayOver()
	case timerProbe:
		m.do(Action{Kind: ActLook})
	case timerSettle:
		m.remaining()
	case timerSurvey:
		m.note(ending.LevelWarn, "gave up: processes are left, and /proc did not say in time which")
		m.end("gave up")
	}
}

// startOverdue ends a run whose start hangs: a command that exists all the same is killed with the
// tree.
func (m *Machine) startOverdue() {
	if m.state != ending.StateStarting {
		return
	}
	by := m.cause.By
	kind, _ := endOf(m.pending)
	if m.cause = (ending.Cause{Kind: kind}); kind == ending.KindStopRequested {
		m.cause.By = by
	}
	m.counts.Undelivered += len(m.kept)
	m.kept = nil
	m.note(ending.LevelWarn, "the command was still being started when its end was asked for")
	m.kill("the start takes too long")
}

func (m *Machine) surveyed(ev Event) {
	if m.state != ending.StateSurvey {
		m.unexpected(ev.Kind)
		return
	}
	m.survivors, m.gaveUp = ev.Survivors, ev.Err != nil || len(ev.Survivors) > 0
	for _, s := range ev.Survivors {
		m.note(
			ending.LevelWarn,
			fmt.Sprintf("gave up: pid %d (%s, state %c, uid %d) is left: %s", s.PID, s.Comm, s.State, s.UID, s.Why),
		)
	}
	if ev.Err != nil {
		m.note(
			ending.LevelWarn,
			fmt.Sprintf("gave up: processes are left, and it cannot be told which: %v", ev.Err),
		)
	}
	m.end("gave up")
}

// frontGone ends everything at once: the caller's process is gone.
func (m *Machine) frontGone() {
	const why = "finite was killed"
	switch {
	case m.state >= ending.StateKilling:
		m.also(ending.KindFiniteKilled)
		return
	case m.alive && m.cause.Kind == "":
		m.cause = ending.Cause{Kind: ending.KindFiniteKilled}
	default:
		m.also(ending.KindFiniteKilled)
	}
	m.note(ending.LevelWarn, why+": SIGKILL to everything")
	m.kill(why)
}
