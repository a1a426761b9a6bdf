package machine

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

func (m *Machine) exited(ev Event) {
	if m.zombie && ev.Change.PID == m.pid { // what held it has let go of it
		m.zombie = false
		m.known(ev.Change)
		return
	}
	if !m.alive || ev.Change.PID != m.pid {
		m.unexpected(ev.Kind)
		return
	}
	m.ended(ev.Change)
}

// isHeld is the word that the command has ended, though the reaper cannot have it.
func (m *Machine) isHeld(ev Event) {
	if !m.alive || ev.Change.PID != m.pid {
		return // it was reaped since
	}
	m.note(ending.LevelWarn, "the command has ended, but "+ev.Why)
	m.zombie = true
	m.ended(ev.Change)
	m.remaining() // a zombie that is held keeps the reaper from telling that others are left
}

// known is how the command ended, if there is a code.
func (m *Machine) known(c reap.Change) {
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
func (m *Machine) ended(c reap.Change) {
	m.alive, m.stopped = false, false
	m.known(c)
	if m.cause.Kind == "" {
		m.cause.Kind = ending.KindExited
		if m.cause.Signal != 0 {
			m.cause.Kind = ending.KindSignaled
		}
	}
	if m.state == ending.StateKilling || m.state == ending.StateSurvey {
		return
	}
	// The grace time of an ending that is under way goes on: it is the time until SIGKILL for all.
	m.dropDelayed()
	m.transition(ending.StateLeftovers, c.String())
	m.arm(timerSettle, settleLimit)
}

// outOfMemory tells a command that the kernel ended for want of memory from one that a process
// killed. What the kernel did before the start may have been to others: it is said, and is no
// cause.
func (m *Machine) outOfMemory(ev Event) {
	said := "out of memory: the kernel killed " + text.Plural(
		ev.Count,
		"process",
		"processes",
	) + " of this memory cgroup"
	if ev.Ever {
		if m.cause.Kind != ending.KindSignaled {
			return // it was finite that killed the command
		}
		m.note(ending.LevelWarn, "the command was killed; "+said+" since that was made")
		return
	}
	m.counts.OOMKills += ev.Count
	m.note(ending.LevelWarn, said)
	switch {
	case !ev.Gone || m.cause.Signal != unix.SIGKILL:
	case m.cause.Kind == ending.KindSignaled:
		m.cause.Kind = ending.KindOOM
	default:
		m.also(ending.KindOOM)
	}
}

// also lists another cause; the first one stands.
func (m *Machine) also(kind ending.Kind) {
	if kind != m.cause.Kind && !slices.Contains(m.cause.Also, kind) {
		m.cause.Also = append(slices.Clip(m.cause.Also), kind)
	}
}

func (m *Machine) jobControl(c reap.Change) {
	if !m.alive || c.PID != m.pid {
		m.unexpected(EvStopped)
		return
	}
	m.stopped = c.Code != reap.CodeContinued
	if !m.stopped {
		return
	}
	m.note(ending.LevelDebug, c.String())
	switch {
	case m.state == ending.StateStopping && m.asked:
		m.resume()
	case m.state <= ending.StateStopping && signals.IsJobStop(c.Signal()):
		m.do(Action{Kind: ActSuspend, Sig: c.Signal()})
	}
}

func (m *Machine) reaped(ev Event) {
	m.counts.Orphans += ev.Count
	killed := 0
	if m.state >= ending.StateKilling {
		killed = ev.Killed
	}
	m.counts.LeftoversKilled += killed
	if m.pid != 0 && !m.alive {
		m.counts.LeftoversTerminated += ev.Count - killed
	}
}

// remaining is the word that the command is gone and others are not.
func (m *Machine) remaining() {
	if m.state != ending.StateLeftovers || m.leftovers {
		return
	}
	m.leftovers = true
	m.disarm(timerSettle)
	switch m.Policy.Leftovers {
	case ending.LeftoversKill:
		m.kill("the command has ended and left others")
	case ending.LeftoversLeave:
		m.end("what is left is left alone")
	case ending.LeftoversWait:
		asked := m.endAsked || m.climbing() || m.cause.Kind == ending.KindStopRequested
		if !asked {
			m.note(ending.LevelInfo, "the command has ended; waiting for what it left")
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
func (m *Machine) endLeftovers(why string) {
	if m.endAsked {
		return
	}
	m.endAsked = true
	if m.Policy.Leftovers == ending.LeftoversWait && m.leftovers && !m.climbing() {
		m.terminateLeftovers(why)
	}
}

// hurryLeftovers is the deadline of what the command has left.
func (m *Machine) hurryLeftovers(why string) {
	if m.overdue && m.leftovers && m.state == ending.StateLeftovers && m.climbing() {
		m.hurry(why)
	}
}

func (m *Machine) terminateLeftovers(why string) {
	ladder := m.Policy.Ending
	if !ladder.Immediate() && m.climbing() {
		sig := ladder.Signal()
		if sig == unix.SIGKILL {
			return // it has no other
		}
		m.do(Action{Kind: ActTerminate, Sig: sig})
		m.note(
			ending.LevelInfo,
			why+": "+signals.Name(sig)+", and SIGKILL when the time of the stop that is under way is over",
		)
		return
	}
	m.note(ending.LevelInfo, why+m.announce())
	m.climb(ladder, why)
}

// empty is ECHILD. Processes may be left that are no child of this process: as PID 1 those that
// came in from outside, and in the command's cgroup those that were orphaned in another PID
// namespace.
func (m *Machine) empty() {
	switch {
	case m.state == ending.StateStarting:
		m.unexpected(EvEmpty)
	case m.state == ending.StateRunning && m.Policy.Pause: // a process may come in
	case m.state == ending.StateSurvey: // just in time: the survey, which answers first, finds no process
	case m.alive:
		// Only if another wait in this process took the command's status away. No child is left
		// to wait for.
		m.unexpected(EvEmpty)
		m.alive = false
		if m.cause.Kind == "" {
			m.cause.Kind = ending.KindExited
		}
		m.note(
			ending.LevelError,
			"the command is gone and its exit status was taken by another wait in this process",
		)
		m.end("nothing is left")
	case m.Role == nsutil.RoleInit || m.HasCgroup:
		m.do(Action{Kind: ActProbe})
	default:
		m.end("nothing is left")
	}
}

func (m *Machine) namespace(empty bool) {
	switch {
	case m.state != ending.StateLeftovers && m.state != ending.StateKilling:
		return
	case empty:
		m.end("nothing is left")
	default:
		m.remaining()
		if m.state != ending.StateEnded {
			m.arm(timerProbe, probeInterval)
		}
	}
}
