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
	reload := arrived == unix.SIGHUP && (number == unix.SIGHUP || !signals.IsStop(number))
	if reload && m.cfg.StopGrace == Off {
		return
	}
	m.cause = Cause{Kind: KindStopRequested, By: By{Signal: arrived, Sender: sender}}
	m.transition(stateStopping, "a stop was requested by "+signals.Name(arrived))
	m.note(levelWarn, "stop requested by "+signals.Name(arrived)+describeSender(sender))
	if m.cfg.StopGrace != Off {
		m.arm(timerGrace, m.cfg.StopGrace)
	}
}
