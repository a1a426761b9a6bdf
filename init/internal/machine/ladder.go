package machine

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/signals"
)

// DumpLimit is how long a snapshot may take. The rung behind it waits for it: it is to show the
// tree as that finds it. The time of the later ones does not move.
const DumpLimit = 500 * time.Millisecond

// thawDelay is how long after an ending has begun the command's cgroup is thawed: most commands
// have ended by then.
const thawDelay = 50 * time.Millisecond

// climb begins a ladder. What is due at once is done at once.
func (m *Machine) climb(l ending.Ladder, why string) {
	if len(l) == 0 {
		return
	}
	m.requested = false
	m.ladder, m.reached, m.begun, m.killAt = l, 0, m.now, m.now+l.KillAfter()
	m.advance(why)
	if m.climbing() && m.HasCgroup { // a frozen process cannot act on a signal
		m.arm(timerThaw, thawDelay)
	}
}

// climbing reports whether an ending with a clock is under way.
func (m *Machine) climbing() bool { return m.ladder != nil }

// next returns the rung that comes next, and when it is due.
func (m *Machine) next() (r ending.LadderRung, at time.Duration) {
	r = m.ladder[m.reached] // the last one is a kill, after which there is no ladder
	if at = m.begun + r.After; r.Signal != unix.SIGKILL && at <= m.killAt {
		return r, at
	}
	return ending.LadderRung{After: m.killAt - m.begun, Signal: unix.SIGKILL}, m.killAt
}

// advance does what is due, up to a snapshot, which it then waits for.
func (m *Machine) advance(why string) {
	told := false
	for m.climbing() && !m.armed[timerDump] {
		r, at := m.next()
		if at > m.now {
			break
		}
		if !told && at > m.begun {
			m.do(Action{Kind: ActRung})
			told = true
		}
		switch {
		case r.Signal == unix.SIGKILL && at > m.begun:
			m.graceOver()
			return
		case r.Signal == unix.SIGKILL:
			m.kill(why)
			return
		}
		m.reached++
		switch _, after := m.next(); {
		case r.Signal != 0:
			m.send(r.Signal)
		case after > at && after <= m.now:
			m.note(ending.LevelInfo, "left out: "+r.String()+", for what comes after it is due")
		default:
			m.dump()
		}
	}
	m.setTimer()
}

// setTimer has the timer run until the next rung is due. While a snapshot is waited for, the word
// of that takes its place.
func (m *Machine) setTimer() {
	wanted := m.climbing() && !m.armed[timerDump]
	var at time.Duration
	if wanted {
		_, at = m.next()
	}
	if m.armed[TimerLadder] && (!wanted || at != m.nextAt) {
		m.disarm(TimerLadder)
	}
	if wanted {
		m.nextAt = at
		m.arm(TimerLadder, at-m.now)
	}
}

// send is a rung that is a signal: to the command or, when that is gone, to what it left.
func (m *Machine) send(sig unix.Signal) {
	switch {
	case m.state == ending.StateStopping:
		m.do(Action{Kind: ActSend, Sig: sig, Target: m.Policy.Forward})
		m.asked, m.continues = true, 0
		if m.stopped {
			m.resume()
		}
	case m.state == ending.StateLeftovers && m.leftovers:
		m.do(Action{Kind: ActTerminate, Sig: sig})
	}
}

// dump is a rung that is a snapshot. Of a tree whose end was not asked for, none is taken: the
// command has ended by itself, and left others.
func (m *Machine) dump() {
	asked := m.state == ending.StateRunning || m.cause.Kind == ending.KindDeadline ||
		m.cause.Kind == ending.KindLifeline ||
		m.cause.Kind == ending.KindStopRequested ||
		m.overdue
	if !asked {
		return
	}
	m.do(Action{Kind: ActDump})
	m.arm(timerDump, 2*DumpLimit)
}

// dumped is the word that a snapshot was taken, or was not to be had: what waits for it goes on.
func (m *Machine) dumped() {
	m.disarm(timerDump)
	m.earlyRungs()
	m.advance("the snapshot is taken")
}

// notice is the moment at which so many rungs are due before the deadline.
func (m *Machine) notice(count int) {
	m.noticed = max(m.noticed, min(count, len(m.Policy.Early)))
	m.earlyRungs()
}

// earlyRungs does what is due before the deadline, up to a snapshot, which it then waits for. It is
// for a command that runs, and whose end was not asked for.
func (m *Machine) earlyRungs() {
	for m.early < m.noticed && !m.armed[timerDump] {
		r := m.Policy.Early[m.early]
		m.early++
		switch {
		case m.state != ending.StateRunning:
			m.note(ending.LevelWarn, "left out: "+r.String()+", while "+m.state.String())
		case r.Signal == 0:
			m.dump()
		default:
			m.note(ending.LevelWarn, signals.Name(r.Signal)+": it is "+(-r.After).String()+" before the deadline")
			m.do(Action{Kind: ActSend, Sig: r.Signal, Target: m.Policy.Forward})
		}
	}
}

// hurry is a deadline that falls into an ending with a clock. The ending of a stop that was
// requested is over no later than one that begins with the deadline; every other one is over
// before.
func (m *Machine) hurry(why string) {
	if !m.requested {
		return
	}
	l := m.Policy.Ending
	m.killAt = min(m.killAt, m.now+l.KillAfter())
	switch {
	case m.armed[timerDump]:
	case l[0] == ending.LadderRung{}:
		m.dump()
		m.setTimer()
	case m.killAt == m.now:
		m.kill(why)
	default:
		m.setTimer()
	}
}

func (m *Machine) graceOver() {
	why := "the grace time is over"
	m.note(ending.LevelWarn, why+": SIGKILL to everything that is left")
	m.kill(why)
}
