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
	m.ladder, m.reached, m.due = l, 0, 0
	if l[0].After > 0 {
		m.arm(TimerGrace, l[0].After)
	} else {
		m.reach(why)
	}
	if m.climbing() && m.HasCgroup { // so that who is frozen in it can act on the signal
		m.arm(timerThaw, thawDelay)
	}
}

// climbing reports whether a ladder is being climbed: an ending with a clock is under way.
func (m *Machine) climbing() bool { return m.reached < len(m.ladder) }

// reach is the moment at which the next rungs are due.
func (m *Machine) reach(why string) {
	if m.due >= len(m.ladder) {
		return
	}
	at := m.ladder[m.due].After
	m.due = m.ladder.Group(m.due)
	m.ascend(why)
	if m.due < len(m.ladder) { // which is not so after the kill
		m.arm(TimerGrace, m.ladder[m.due].After-at)
	}
}

// ascend does what is due, up to a snapshot, which it then waits for.
func (m *Machine) ascend(why string) {
	for m.reached < m.due && !m.armed[timerDump] {
		r := m.ladder[m.reached]
		m.reached++
		switch {
		case r.Signal == 0 && r.After < m.ladder[m.due-1].After:
			m.note(ending.LevelInfo, "left out: "+r.String()+", for what comes after it is due")
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

// dump is a rung that is a snapshot. Of a tree whose end nobody asked for, none is taken: the
// command has ended by itself, and left others.
func (m *Machine) dump() {
	asked := m.state == ending.StateRunning || m.cause.Kind == ending.KindDeadline || m.cause.Kind == ending.KindLifeline || m.cause.Kind == ending.KindStopRequested || m.late
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
	if m.overdueKill {
		m.graceOver()
		return
	}
	m.ascend("the snapshot is taken")
}

// notice is the moment at which so many rungs are due before the deadline.
func (m *Machine) notice(count int) {
	m.noticed = max(m.noticed, min(count, len(m.Policy.Early)))
	m.earlyRungs()
}

// earlyRungs does what is due before the deadline, up to a snapshot, which it then waits for. It is
// for a command that runs, and that nobody has asked to end.
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

// hurry is a deadline that falls into an ending with a later kill, which it brings forward.
func (m *Machine) hurry(why string) {
	l := m.Policy.Ending
	switch {
	case l.Immediate() && m.climbing() && m.due == len(m.ladder): // it waits for a snapshot alone
	case l.Immediate():
		m.disarm(TimerGrace)
		m.climb(l, why)
	default:
		if l[0] == (ending.LadderRung{}) && !m.armed[timerDump] {
			m.dump()
		}
		m.arm(timerDeadline, l.KillAfter())
	}
}

func (m *Machine) graceOver() {
	why := "the grace time is over"
	m.note(ending.LevelWarn, why+": SIGKILL to everything that is left")
	m.kill(why)
}
