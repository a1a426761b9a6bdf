package machine

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/signals"
)

func (m *Machine) started(ev Event) {
	if m.pid != 0 {
		m.unexpected(ev.Kind)
		return
	}
	m.pid, m.alive, m.job = ev.Pid, true, ev.Job
	if m.state != ending.StateStarting { // given up on, and here all the same
		m.do(Action{Kind: ActSend, Sig: unix.SIGKILL, Target: ending.ForwardChild})
		return
	}
	m.disarm(timerStart)
	m.cause = ending.Cause{}
	m.transition(ending.StateRunning, "the command was started")
	for _, sig := range m.kept {
		m.signalled(sig)
	}
	m.kept = nil
	if m.pending.Kind != EvNone {
		m.endAskedBy(m.pending)
	}
}

func (m *Machine) startFailed(ev Event) {
	if m.pid != 0 || m.state != ending.StateStarting {
		m.unexpected(ev.Kind)
		return
	}
	m.cause = ending.Cause{Kind: ending.KindStartFailed, Step: ev.Step, Err: ev.Err}
	if ev.Step.IsBox() {
		m.note(ending.LevelError, fmt.Sprintf("cannot start the command: %v", ev.Err))
	} else {
		m.note(ending.LevelError, fmt.Sprintf("cannot run %q: %v", m.Command, ev.Err))
	}
	m.end("the command could not be started")
}

// keep keeps a signal for the command that is being started. A stop before that was begun ends the
// run with nothing started; one that waits for a start that hangs (an executable on a file system
// that does not answer) waits for the give-up time.
func (m *Machine) keep(sig signals.Signal, stop bool) {
	if stop {
		by := ending.By{Signal: sig.Number, Sender: sig.Sender}
		if !m.cloning {
			m.cause = ending.Cause{Kind: ending.KindStopRequested, By: by}
			m.counts.Undelivered++
			m.note(
				m.tellStop(),
				"stop requested by "+signals.Name(
					sig.Number,
				)+DescribeSender(
					sig.Sender,
				)+" before the command was started",
			)
			m.end("a stop came first")
			return
		}
		if m.cause.By.Signal == 0 {
			m.cause.By = by
		}
		m.arm(timerStart, m.startLimit())
	}
	const most = 1024 // a bound on memory
	if len(m.kept) == most {
		m.counts.Undelivered++
		return
	}
	m.kept = append(m.kept, sig)
}

// passRules are the signals that may be passed on without asking the machine first, while the
// command runs.
func (m *Machine) Rules() (rules Rules) {
	if m.Policy.Forward == ending.ForwardAll {
		return rules
	}
	for sig := unix.Signal(1); sig <= signals.RTMax; sig++ {
		to, keep := m.Policy.Rewrite.Apply(sig)
		switch {
		case !keep:
		case to == unix.SIGCONT: // comes with more than the signal
		case m.Policy.StopDelay > 0 && m.isStop(sig, to):
		case to == sig:
			rules.Set |= signals.SetOf(sig)
		default:
			rules.Rewritten |= signals.SetOf(sig)
		}
	}
	return rules
}

// isStop reports whether a signal that is passed on as number asks for the end. SIGHUP alone,
// without a clock, is a plain signal: programs reload on it. So is one that was ignored when finite
// was started, by nohup(1) for example: whoever did that does not want it to end anything.
func (m *Machine) isStop(arrived, number unix.Signal) bool {
	if m.Ignored.Has(arrived) || !signals.IsStop(arrived) && !signals.IsStop(number) {
		return false
	}
	reload := arrived == unix.SIGHUP && (number == unix.SIGHUP || !signals.IsStop(number))
	return !reload || len(m.Policy.Requested) > 0
}

// pauseSignalled ends the pause if the signal asks for that. There is no command to pass it on to.
func (m *Machine) pauseSignalled(sig signals.Signal, number unix.Signal) {
	m.counts.Undelivered++
	if !m.isStop(sig.Number, number) {
		return
	}
	m.do(Action{Kind: ActStop, Signal: sig})
	m.cause = ending.Cause{Kind: ending.KindStopRequested, By: ending.By{Signal: sig.Number, Sender: sig.Sender}}
	m.note(ending.LevelInfo, "stop requested by "+signals.Name(sig.Number)+DescribeSender(sig.Sender))
	m.endPause("a stop was requested by " + signals.Name(sig.Number))
}

// tellStop is the level at which a stop is told of. Whoever stops a job of a shell's knows it.
func (m *Machine) tellStop() ending.Level {
	if m.job {
		return ending.LevelInfo
	}
	return ending.LevelWarn
}

func (m *Machine) signalled(sig signals.Signal) {
	arrived := sig.Number
	number, keep := m.Policy.Rewrite.Apply(arrived)
	if !keep {
		m.counts.Undelivered++
		m.note(ending.LevelDebug, signals.Name(arrived)+" dropped by a rule")
		return
	}
	switch m.state {
	case ending.StateStarting:
		m.keep(sig, endsStart(arrived, number) && !m.Ignored.Has(arrived))
	case ending.StateRunning, ending.StateStopping:
		if m.Policy.Pause {
			m.pauseSignalled(sig, number)
			return
		}
		if m.state == ending.StateRunning && m.Policy.StopDelay > 0 && m.isStop(arrived, number) && m.delay(sig) {
			return
		}
		m.pass(sig, arrived, number)
	case ending.StateLeftovers:
		// The command is gone, and its process group's number may be another group's by now.
		if m.Policy.Forward == ending.ForwardAll {
			sig.Number = number
			m.forward(sig, ending.ForwardAll)
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
// asks for an end, or whose default action, with no command there to change it, is the end.
func endsStart(arrived, number unix.Signal) bool {
	return signals.IsStop(arrived) || signals.IsStop(number) || arrived == unix.SIGKILL
}

// delay holds the first stop signal back; another one ends the wait, and is the one that is passed
// on. It returns false when there is nothing more to wait for.
func (m *Machine) delay(sig signals.Signal) bool {
	if m.armed[timerStopDelay] {
		m.dropDelayed()
		return false
	}
	m.delayed = sig
	m.arm(timerStopDelay, m.Policy.StopDelay)
	m.note(
		m.tellStop(),
		fmt.Sprintf("stop requested by %s%s: it is held back for %v, or until another one comes",
			signals.Name(sig.Number), DescribeSender(sig.Sender), m.Policy.StopDelay),
	)
	return true
}

// dropDelayed forgets what delay held back: an ending of another kind has overtaken it.
func (m *Machine) dropDelayed() {
	if m.armed[timerStopDelay] {
		m.disarm(timerStopDelay)
		m.counts.Undelivered++
	}
}

// delayOver passes on what delay held back.
func (m *Machine) delayOver() {
	if m.state == ending.StateRunning {
		number, _ := m.Policy.Rewrite.Apply(m.delayed.Number)
		m.pass(m.delayed, m.delayed.Number, number)
	} else {
		m.counts.Undelivered++
	}
}

// pass passes a signal on to the command, which runs, and sees whether it begins an ending.
func (m *Machine) pass(sig signals.Signal, arrived, number unix.Signal) {
	sig.Number = number
	target := m.Policy.Forward
	if number == unix.SIGCONT {
		m.do(Action{Kind: ActForeground})
		if m.stopped {
			// A terminal, and the shell behind it, stop and continue process groups: the command
			// may wait for a child that was stopped with it.
			target = max(target, ending.ForwardGroup)
		}
	}
	m.forward(sig, target)
	if signals.IsStop(arrived) || signals.IsStop(number) {
		sig.Number = arrived
		m.stopRequested(sig, number)
	}
}

func (m *Machine) forward(sig signals.Signal, target ending.Forward) {
	m.counts.Forwarded++
	m.do(Action{Kind: ActForward, Signal: sig, Target: target})
}

// ForwardFailed takes back what forward counted, when the kernel refused.
func (m *Machine) ForwardFailed() {
	m.counts.Forwarded--
	m.counts.Undelivered++
}

// stopRequested begins an ending that a signal asked for. The command has it, as number, and is to
// act on it even if it was stopped.
func (m *Machine) stopRequested(sig signals.Signal, number unix.Signal) {
	arrived, sender := sig.Number, sig.Sender
	m.asked, m.continues = m.asked || !sender.Kernel, 0
	if m.stopped {
		m.resume()
	}
	if !m.isStop(arrived, number) {
		return
	}
	if m.state == ending.StateStopping {
		m.also(ending.KindStopRequested)
		return
	}
	m.do(Action{Kind: ActStop, Signal: sig})
	m.cause = ending.Cause{Kind: ending.KindStopRequested, By: ending.By{Signal: arrived, Sender: sender}}
	m.transition(ending.StateStopping, "a stop was requested by "+signals.Name(arrived))
	m.note(m.tellStop(), "stop requested by "+signals.Name(arrived)+DescribeSender(sender))
	m.climb(m.Policy.Requested, "a stop was requested")
	m.requested = m.climbing()
}
