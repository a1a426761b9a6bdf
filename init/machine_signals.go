package pid1

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

func (m *machine) started(ev event) {
	if m.pid != 0 {
		m.unexpected(ev.kind)
		return
	}
	m.pid, m.alive, m.job = ev.pid, true, ev.job
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
	if m.pending.kind != evNone {
		m.overdue(m.pending)
	}
}

func (m *machine) startFailed(ev event) {
	if m.pid != 0 || m.state != stateStarting {
		m.unexpected(ev.kind)
		return
	}
	m.cause = Cause{Kind: KindStartFailed, Step: ev.step, Err: ev.err}
	if ev.step.isBox() {
		m.note(levelError, fmt.Sprintf("cannot start the command: %v", ev.err))
	} else {
		m.note(levelError, fmt.Sprintf("cannot run %q: %v", m.cfg.Args[0], ev.err))
	}
	m.end("the command could not be started")
}

// hold keeps a signal for the command that is being started. A stop before that was begun ends the
// run with nothing started; one that waits for a start that hangs (an executable on a file system
// that does not answer) waits for the give-up time.
func (m *machine) hold(sig signals.Signal, stop bool) {
	if stop {
		by := By{Signal: sig.Number, Sender: sig.Sender}
		if !m.cloning {
			m.cause = Cause{Kind: KindStopRequested, By: by}
			m.counts.Undelivered++
			m.note(m.tellStop(), "stop requested by "+signals.Name(sig.Number)+describeSender(sig.Sender)+" before the command was started")
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

// passable is what may be passed on without asking the machine first, while the command runs.
func (m *machine) passable() (set signals.Set) {
	if m.cfg.Forward == ForwardAll {
		return 0
	}
	for sig := unix.Signal(1); sig <= signals.RTMax; sig++ {
		to, keep := m.cfg.Rewrite.Apply(sig)
		switch {
		case !keep || to != sig:
		case sig == unix.SIGCONT: // comes with more than the signal
		case m.cfg.StopDelay > 0 && m.isStop(sig, sig):
		default:
			set |= signals.SetOf(sig)
		}
	}
	return set
}

// rewritable is what may be passed on as another signal without asking the machine first.
func (m *machine) rewritable() (set signals.Set) {
	if m.cfg.Forward == ForwardAll {
		return 0
	}
	for sig := unix.Signal(1); sig <= signals.RTMax; sig++ {
		to, keep := m.cfg.Rewrite.Apply(sig)
		if keep && to != sig && to != unix.SIGCONT && !(m.cfg.StopDelay > 0 && m.isStop(sig, to)) {
			set |= signals.SetOf(sig)
		}
	}
	return set
}

// isStop reports whether a signal that is passed on as number asks for the end. SIGHUP alone,
// without a clock, is a plain signal: programs reload on it. So is one that was ignored when finite
// was started, by nohup(1) for example: whoever did that does not want it to end anything.
func (m *machine) isStop(arrived, number unix.Signal) bool {
	if m.cfg.ignored.Has(arrived) || !signals.IsStop(arrived) && !signals.IsStop(number) {
		return false
	}
	reload := arrived == unix.SIGHUP && (number == unix.SIGHUP || !signals.IsStop(number))
	return !reload || m.cfg.StopGrace != Off
}

// pauseSignalled ends the pause if the signal asks for that. There is nobody to pass it on to.
func (m *machine) pauseSignalled(sig signals.Signal, number unix.Signal) {
	m.counts.Undelivered++
	if !m.isStop(sig.Number, number) {
		return
	}
	m.cause = Cause{Kind: KindStopRequested, By: By{Signal: sig.Number, Sender: sig.Sender}}
	m.note(levelInfo, "stop requested by "+signals.Name(sig.Number)+describeSender(sig.Sender))
	m.endPause("a stop was requested by " + signals.Name(sig.Number))
}

// tellStop is the level at which a stop is told of. Whoever stops a job of a shell's knows it.
func (m *machine) tellStop() level {
	if m.job {
		return levelInfo
	}
	return levelWarn
}

func (m *machine) signalled(sig signals.Signal) {
	arrived := sig.Number
	number, keep := m.cfg.Rewrite.Apply(arrived)
	if !keep {
		m.counts.Undelivered++
		m.note(levelDebug, signals.Name(arrived)+" dropped by a rule")
		return
	}
	switch m.state {
	case stateStarting:
		m.hold(sig, endsStart(arrived, number) && !m.cfg.ignored.Has(arrived))
	case stateRunning, stateStopping:
		if m.cfg.Pause {
			m.pauseSignalled(sig, number)
			return
		}
		if m.state == stateRunning && m.cfg.StopDelay > 0 && m.isStop(arrived, number) && m.delay(sig) {
			return
		}
		m.pass(sig, arrived, number)
	case stateLeftovers:
		// The command is gone, and its process group's number may already be somebody else's.
		if m.cfg.Forward == ForwardAll {
			sig.Number = number
			m.forward(sig, ForwardAll)
		} else {
			m.counts.Undelivered++
		}
		if signals.IsStop(arrived) || signals.IsStop(number) {
			m.endLeftovers("a stop was requested by " + signals.Name(arrived))
		}
	default:
		m.counts.Undelivered++
	}
}

// endsStart reports whether a signal that arrives before there is a command ends the run: one that
// asks for an end, or whose default, which nobody is there to change, would be the end at once.
func endsStart(arrived, number unix.Signal) bool {
	return signals.IsStop(arrived) || signals.IsStop(number) || arrived == unix.SIGKILL
}

// delay holds the first stop signal back; another one ends the wait, and is the one that is passed
// on. It returns false when there is nothing more to wait for.
func (m *machine) delay(sig signals.Signal) bool {
	if m.armed[timerStopDelay] {
		m.dropDelayed()
		return false
	}
	m.delayed = sig
	m.arm(timerStopDelay, m.cfg.StopDelay)
	m.note(m.tellStop(), fmt.Sprintf("stop requested by %s%s: it is held back for %v, or until another one comes",
		signals.Name(sig.Number), describeSender(sig.Sender), m.cfg.StopDelay))
	return true
}

// dropDelayed forgets what delay held back: an ending of another kind has overtaken it.
func (m *machine) dropDelayed() {
	if m.armed[timerStopDelay] {
		m.disarm(timerStopDelay)
		m.counts.Undelivered++
	}
}

// delayOver passes on what delay held back.
func (m *machine) delayOver() {
	if m.state == stateRunning {
		number, _ := m.cfg.Rewrite.Apply(m.delayed.Number)
		m.pass(m.delayed, m.delayed.Number, number)
	} else {
		m.counts.Undelivered++
	}
}

// pass passes a signal on to the command, which runs, and sees whether it begins an ending.
func (m *machine) pass(sig signals.Signal, arrived, number unix.Signal) {
	sig.Number = number
	target := m.cfg.Forward
	if number == unix.SIGCONT {
		m.do(action{kind: actForeground})
		if m.stopped {
			// A terminal, and the shell behind it, stop and continue process groups: the command
			// may wait for a child that was stopped with it.
			target = max(target, ForwardGroup)
		}
	}
	m.forward(sig, target)
	if signals.IsStop(arrived) || signals.IsStop(number) {
		m.stopRequested(arrived, number, sig.Sender)
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

// stopRequested begins an ending that a signal asked for. The command has it, and is to act on it
// even if it was stopped.
func (m *machine) stopRequested(arrived, number unix.Signal, sender signals.Sender) {
	m.asked, m.continues = m.asked || !sender.Kernel, 0
	if m.stopped {
		m.resume()
	}
	if !m.isStop(arrived, number) {
		return
	}
	if m.state == stateStopping {
		m.also(KindStopRequested)
		return
	}
	m.cause = Cause{Kind: KindStopRequested, By: By{Signal: arrived, Sender: sender}}
	m.transition(stateStopping, "a stop was requested by "+signals.Name(arrived))
	m.note(m.tellStop(), "stop requested by "+signals.Name(arrived)+describeSender(sender))
	m.climb(m.cfg.ladders.requested, "a stop was requested")
}
