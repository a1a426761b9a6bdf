package ending

import (
	"cmp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/usage"
	"github.com/finite-init/finite/signals"
)

// Policy is how a command may end. It is complete once its ladders are made.
type Policy struct {
	Pause bool // there is no command

	Early     Ladder // before the deadline
	Ending    Ladder // what finite itself ends something by
	Later     Ladder // the rungs of Ending that are not due at once; SIGKILL at once if there are none
	Requested Ladder // after a stop was requested, and the signal passed on; empty: whoever requested it decides

	StopSignal unix.Signal
	StopDelay  time.Duration // how long the first signal that requests a stop is held back
	GiveUp     time.Duration // from the last SIGKILL to the report of survivors, or Never

	Leftovers Leftovers
	Forward   Forward
	Rewrite   signals.Rewrite

	TimeoutExit    int // 0–255
	PreserveStatus bool
	Expect         []int
	StopExit       []int
}

// The defaults of a policy.
const (
	DefaultStopSignal  = unix.SIGTERM
	DefaultGrace       = 5 * time.Second
	DefaultGiveUp      = 5 * time.Second
	DefaultTimeoutExit = 124
)

// SetPlain makes the ladders of the stop signal, of the time from that to SIGKILL, and of the same
// for a stop that was requested. With a snapshot, that comes first where finite itself ends
// something.
func (p *Policy) SetPlain(grace, stopGrace time.Duration, snapshot bool) error {
	if p.StopSignal == 0 {
		p.StopSignal = DefaultStopSignal
	}
	kill := grace
	switch {
	case grace == 0:
		kill = DefaultGrace
	case grace == AtOnce:
		kill = 0
	case grace < 0:
		return &usage.Error{
			Field: "Grace",
			Value: grace,
			Why:   "must be a length or AtOnce: a command that ignores the stop signal would not end",
		}
	}
	p.Ending = Ladder{{0, p.StopSignal}, {kill, unix.SIGKILL}}
	if kill == 0 || p.StopSignal == unix.SIGKILL {
		p.Ending = Ladder{{0, unix.SIGKILL}}
	}
	switch {
	case stopGrace == 0 || stopGrace == Never:
	case stopGrace == AtOnce:
		p.Requested = Ladder{{time.Nanosecond, unix.SIGKILL}} // behind the signal itself
	case stopGrace < 0:
		return &usage.Error{Field: "StopGrace", Value: stopGrace, Why: "must be a length, AtOnce or Never"}
	default:
		p.Requested = Ladder{{stopGrace, unix.SIGKILL}}
	}
	p.finish(snapshot)
	return nil
}

// SetLadder makes the ladders of one that was checked.
func (p *Policy) SetLadder(l Ladder, snapshot bool) {
	p.Ending = l.from(0)
	p.Early = l[:len(l)-len(p.Ending)]
	p.Requested = l.from(1) // what is due at once, the signal itself takes the place of
	p.StopSignal = p.Ending.Signal()
	p.finish(snapshot)
}

func (p *Policy) finish(snapshot bool) {
	if snapshot && p.Ending[0] != (LadderRung{}) {
		p.Ending = append(Ladder{{}}, p.Ending...)
	}
	if p.Later = p.Ending.from(1); len(p.Later) == 0 {
		p.Later = Ladder{{0, unix.SIGKILL}}
	}
}

// Dumps reports whether snapshots may be taken.
func (p *Policy) Dumps() bool { return p.Early.Dumps() || p.Ending.Dumps() }

// ExitStatus is what finite reports for a command that ended in this way.
func (p *Policy) ExitStatus(cause Cause, ran bool) int {
	switch {
	case cause.Kind == KindStartFailed:
		return startFailureStatus(cause)
	case p.Pause && cause.Kind != KindDeadline:
		return 0
	case cause.Kind == KindDeadline && !p.PreserveStatus:
		return p.TimeoutExit
	case !ran && cause.By.Signal != 0:
		return 128 + int(cause.By.Signal)
	case !ran:
		// Cancelled before the start: as if it had been started and stopped.
		return 128 + int(cmp.Or(p.StopSignal, unix.SIGKILL))
	case !cause.Known && cause.Kind == KindExited:
		return StatusFailure // its status was taken away
	case !cause.Known:
		return 128 + int(unix.SIGKILL) // it was killed, and never reaped
	}
	own := cause.ExitCode
	if cause.Signal != 0 {
		own = 128 + int(cause.Signal)
	}
	requested := cause.Kind == KindStopRequested || cause.Kind == KindLifeline
	if slices.Contains(p.Expect, own) || requested && slices.Contains(p.StopExit, own) {
		return 0
	}
	return own
}
