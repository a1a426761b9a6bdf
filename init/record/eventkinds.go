package record

import (
	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// signal tells of one that arrived.
func (l *eventLog) signal(sig signals.Signal) {
	if l == nil {
		return
	}
	e := Event{Event: "signal", Signal: signals.Name(sig.Number)}
	if sig.Sender.Known {
		e.By = newReportBy(&ending.By{Sender: sig.Sender}, &l.self)
	}
	l.add(e)
}

// reaped tells of a child that has ended and is a zombie still. It is called on the reaper's
// thread.
func (l *eventLog) reaped(event string, c *reap.Change) {
	if l == nil {
		return
	}
	e := endEvent(event, c)
	if l.proc == nil {
		l.add(e)
		return
	}
	if st, err := l.proc.Stat(c.PID); err == nil { // which does not hang for a zombie
		lived, cpu := milliseconds(st.Age()), milliseconds(st.CPU())
		e.Comm, e.LivedMS, e.CPUMS = st.Comm, &lived, &cpu
	}
	l.add(e)
}

// endEvent is what waitid(2) tells of a child.
func endEvent(event string, c *reap.Change) Event {
	e := Event{Event: event, PID: c.PID}
	if c.Code == reap.CodeExited {
		code := c.Status & 0xff
		e.ExitCode = &code
	} else {
		e.Signal, e.CoreDumped = signals.Name(c.Signal()), c.Code == reap.CodeDumped
	}
	return e
}

// ended tells of a child with a name that was started at a time, in clock ticks after the boot; 0:
// neither is known.
func (l *eventLog) ended(event string, c *reap.Change, name string, start int64) {
	if l == nil {
		return
	}
	e := endEvent(event, c)
	if start != 0 {
		st := procfs.Stat{StartTime: uint64(start)}
		lived, cpu := milliseconds(st.Age()), milliseconds(c.Rusage.User+c.Rusage.System)
		e.Comm, e.LivedMS, e.CPUMS = name, &lived, &cpu
	}
	l.add(e)
}

// stopped tells that the command was stopped or continued.
func (l *eventLog) stopped(c *reap.Change) {
	switch {
	case l == nil:
	case c.Code == reap.CodeContinued:
		l.add(Event{Event: "continued", PID: c.PID})
	default:
		l.add(Event{Event: "stopped", PID: c.PID, Signal: signals.Name(c.Signal())})
	}
}
