package pid1

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

func (m *machine) exited(ev event) {
	if m.zombie && ev.change.PID == m.pid { // what held it has let go of it
		m.zombie = false
		m.known(ev.change)
		return
	}
	if !m.alive || ev.change.PID != m.pid {
		m.unexpected(ev.kind)
		return
	}
	m.ended(ev.change)
}

// isHeld is the word that the command has ended, though the reaper cannot have it.
func (m *machine) isHeld(ev event) {
	if !m.alive || ev.change.PID != m.pid {
		return // it was reaped since
	}
	m.note(levelWarn, "the command has ended, but "+ev.why)
	m.zombie = true
	m.ended(ev.change)
	m.remaining() // somebody holds it, and it is in the way of the word that others are left
}

// known is how the command ended, if there is a code.
func (m *machine) known(c reap.Change) {
	m.change = c
	m.cause.Known = c.Code != 0
	m.cause.Signal, m.cause.ExitCode, m.cause.CoreDumped = 0, 0, false
	if c.Code == reap.CodeExited {
		m.cause.ExitCode = c.Status & 0xff
	} else {
		m.cause.Signal, m.cause.CoreDumped = c.Signal(), c.Code == reap.CodeDumped
	}
}

// ended is what follows from the command's end.
func (m *machine) ended(c reap.Change) {
	m.alive, m.stopped = false, false
	m.known(c)
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
	m.dropDelayed()
	m.transition(stateLeftovers, c.String())
	m.arm(timerSettle, settleLimit)
}

// outOfMemory tells a command that the kernel ended for want of memory from one that somebody
// killed. What the kernel did before the start may have been to others: it is said, and is no
// cause.
func (m *machine) outOfMemory(ev event) {
	said := "out of memory: the kernel killed " + text.Plural(ev.count, "process", "processes") + " of this memory cgroup"
	if ev.ever {
		m.note(levelWarn, "the command was killed; "+said+" since that was made")
		return
	}
	m.counts.OOMKills += ev.count
	m.note(levelWarn, said)
	switch {
	case !ev.gone || m.cause.Signal != unix.SIGKILL:
	case m.cause.Kind == KindSignaled:
		m.cause.Kind = KindOOM
	default:
		m.also(KindOOM)
	}
}

// also lists another cause; the first one stands.
func (m *machine) also(kind Kind) {
	if kind != m.cause.Kind && !slices.Contains(m.cause.Also, kind) {
		m.cause.Also = append(slices.Clip(m.cause.Also), kind)
	}
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
	case m.state == stateStopping && m.asked:
		m.resume()
	case m.state <= stateStopping && signals.IsJobStop(c.Signal()):
		m.do(action{kind: actSuspend, sig: c.Signal()})
	}
}

func (m *machine) reaped(ev event) {
	m.counts.Orphans += ev.count
	killed := 0
	if m.state >= stateKilling {
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
		asked := m.endAsked || m.climbing() || m.armed[timerDeadline] || m.cause.Kind == KindStopRequested
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

// endLeftovers is a stop or a deadline after the command's end: what is being waited for is
// terminated. Under every other policy that is happening already.
func (m *machine) endLeftovers(why string) {
	if m.endAsked {
		return
	}
	m.endAsked = true
	if m.cfg.Leftovers == LeftoversWait && m.leftovers && !m.climbing() && !m.armed[timerDeadline] {
		m.terminateLeftovers(why)
	}
}

// hurryLeftovers is the deadline of what the command has left: if an ending with a longer clock
// (--stop-grace) is under way, its kill is brought forward.
func (m *machine) hurryLeftovers(why string) {
	switch {
	case !m.late || !m.leftovers || m.state != stateLeftovers || m.cfg.Leftovers == LeftoversLeave:
	case !m.graceArmed:
		m.hurry(why)
	}
}

func (m *machine) terminateLeftovers(why string) {
	ladder := m.cfg.ladders.ending
	if !ladder.immediate() && (m.climbing() || m.armed[timerDeadline]) {
		sig := ladder.signal()
		if sig == unix.SIGKILL {
			return // it has no other
		}
		m.do(action{kind: actTerminate, sig: sig})
		m.note(levelInfo, why+": "+signals.Name(sig)+", and SIGKILL when the time of the stop that is under way is over")
		return
	}
	m.note(levelInfo, why+m.announce())
	m.graceArmed = true
	m.climb(ladder, why)
}

// empty is ECHILD. As PID 1 there may still be processes that came in from outside and are nobody's
// children here; and in the command's cgroup, such as were orphaned in another PID namespace.
func (m *machine) empty() {
	switch {
	case m.state == stateStarting:
		m.unexpected(evEmpty)
	case m.state == stateRunning && m.cfg.Pause: // somebody may come
	case m.state == stateSurvey: // just in time, but the survey answers first: it will find nobody
	case m.alive:
		// Only if another wait in this process took the command's status away. There is nobody left
		// to wait for.
		m.unexpected(evEmpty)
		m.alive = false
		if m.cause.Kind == "" {
			m.cause.Kind = KindExited
		}
		m.note(levelError, "the command is gone and its exit status was taken by another wait in this process")
		m.end("nothing is left")
	case m.role == nsutil.RoleInit || m.cfg.leaf != nil:
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
