package pid1

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

// dumpLimit is how long a snapshot may take. The rung behind it waits for it: it is to show the
// tree as that finds it. The time of the later ones does not move.
const dumpLimit = 500 * time.Millisecond

// thawDelay is how long after an ending has begun the command's cgroup is thawed: most commands
// have ended by then.
const thawDelay = 50 * time.Millisecond

// climb begins a ladder. What is due at once is done at once.
func (m *machine) climb(l Ladder, why string) {
	if len(l) == 0 {
		return
	}
	m.ladder, m.reached, m.due = l, 0, 0
	if l[0].After > 0 {
		m.arm(timerGrace, l[0].After)
	} else {
		m.reach(why)
	}
	if m.climbing() && m.cfg.leaf != nil { // so that who is frozen in it can act on the signal
		m.arm(timerThaw, thawDelay)
	}
}

// climbing reports whether a ladder is being climbed: an ending with a clock is under way.
func (m *machine) climbing() bool { return m.reached < len(m.ladder) }

// reach is the moment at which the next rungs are due.
func (m *machine) reach(why string) {
	if m.due >= len(m.ladder) {
		return
	}
	at := m.ladder[m.due].After
	m.due = m.ladder.group(m.due)
	m.ascend(why)
	if m.due < len(m.ladder) { // which is not so after the kill
		m.arm(timerGrace, m.ladder[m.due].After-at)
	}
}

// ascend does what is due, up to a snapshot, which it then waits for.
func (m *machine) ascend(why string) {
	for m.reached < m.due && !m.armed[timerDump] {
		r := m.ladder[m.reached]
		m.reached++
		switch {
		case r.Signal == 0 && r.After < m.ladder[m.due-1].After:
			m.note(levelInfo, "left out: "+r.String()+", for what comes after it is due")
		case r.Signal == 0:
			m.dump()
		case r.Signal != unix.SIGKILL:
			m.send(r.Signal)
		case r.After > 0:
			m.graceOver()
		default:
			m.kill(why)
		}
	}
}

// send is a rung that is a signal: to the command or, when that is gone, to what it left.
func (m *machine) send(sig unix.Signal) {
	switch {
	case m.state == stateStopping:
		m.do(action{kind: actSend, sig: sig, target: m.cfg.Forward})
		m.asked, m.continues = true, 0
		if m.stopped {
			m.resume()
		}
	case m.state == stateLeftovers && m.leftovers:
		m.do(action{kind: actTerminate, sig: sig})
	}
}

// dump is a rung that is a snapshot. Of a tree whose end nobody asked for, none is taken: the
// command has ended by itself, and left others.
func (m *machine) dump() {
	asked := m.state == stateRunning || m.cause.Kind == KindDeadline || m.cause.Kind == KindLifeline || m.cause.Kind == KindStopRequested || m.late
	if !asked {
		return
	}
	m.do(action{kind: actDump})
	m.arm(timerDump, 2*dumpLimit)
}

// dumped is the word that a snapshot was taken, or was not to be had: what waits for it goes on.
func (m *machine) dumped() {
	m.disarm(timerDump)
	m.earlyRungs()
	if m.overdueKill {
		m.graceOver()
		return
	}
	m.ascend("the snapshot is taken")
}

// notice is the moment at which so many rungs are due before the deadline.
func (m *machine) notice(count int) {
	m.noticed = max(m.noticed, min(count, len(m.cfg.ladders.early)))
	m.earlyRungs()
}

// earlyRungs does what is due before the deadline, up to a snapshot, which it then waits for. It is
// for a command that runs, and that nobody has asked to end.
func (m *machine) earlyRungs() {
	for m.early < m.noticed && !m.armed[timerDump] {
		r := m.cfg.ladders.early[m.early]
		m.early++
		switch {
		case m.state != stateRunning:
			m.note(levelWarn, "left out: "+r.String()+", while "+m.state.String())
		case r.Signal == 0:
			m.dump()
		default:
			m.note(levelWarn, signals.Name(r.Signal)+": it is "+(-r.After).String()+" before the deadline")
			m.do(action{kind: actSend, sig: r.Signal, target: m.cfg.Forward})
		}
	}
}

// hurry is a deadline that falls into an ending with a later kill, which it brings forward.
func (m *machine) hurry(why string) {
	l := m.cfg.ladders.ending
	switch {
	case l.immediate() && m.climbing() && m.due == len(m.ladder): // it waits for a snapshot alone
	case l.immediate():
		m.disarm(timerGrace)
		m.climb(l, why)
	default:
		if l[0] == (LadderRung{}) && !m.armed[timerDump] {
			m.dump()
		}
		m.arm(timerDeadline, l.killAfter())
	}
}

func (m *machine) graceOver() {
	why := "the grace time is over"
	m.note(levelWarn, why+": SIGKILL to everything that is left")
	m.kill(why)
}
