package pid1

import (
	"errors"
	"math"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/internal/simkernel"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// check holds a history against the contract.
func (h *history) check() {
	for _, v := range h.kernel.Violations {
		h.wrong("%s", v)
	}
	if !h.returns {
		return
	}
	if h.took > h.latest() {
		h.wrong("the run takes %v, and should be over after %v", h.took, h.latest())
	}
	if h.runner.panics > 0 {
		h.wrong("%d panics", h.runner.panics)
	}
	if h.result.Cause.Kind == "" {
		h.wrong("the cause has no kind: %+v", h.result.Cause)
	}
	h.checkLeft()
	h.checkSurvivors()
	h.checkStatus()
	h.checkCause()
	h.checkSignals()
	h.checkObedience()
}

const never = time.Duration(math.MaxInt64 / 4)

// forced is when something ends the command for certain, and what.
func (h *history) forced() (at time.Duration, kind ending.Kind) {
	at = never
	for _, end := range []struct {
		at   time.Duration
		kind ending.Kind
	}{
		{h.cfg.Timeout, ending.KindDeadline},
		{h.deadline, ending.KindDeadline},
		{h.cancel, ending.KindStopRequested},
		{h.lifeline, ending.KindLifeline},
	} {
		if end.at > 0 && end.at < at {
			at, kind = end.at, end.kind
		}
	}
	return at, kind
}

// margin is what a run may take beyond its own times.
const margin = 2 * time.Second

// latest is when the run has to be over.
func (h *history) latest() time.Duration {
	p := &h.runner.policy
	at, _ := h.forced()
	if f := &h.world.Faults; f.StartDelay > at { // the ending waits for the start, and no longer than this
		at = min(f.StartDelay, at+p.GiveUp)
	}
	kill := at + p.Ending.KillAfter()
	if h.fate.Ended && p.Leftovers == ending.LeftoversTerminate {
		after := p.Ending.KillAfter() // or that of a stop that is under way
		if len(p.Requested) > 0 {
			after = max(after, p.Requested.KillAfter())
		}
		if noticed, ok := h.noticed(); ok {
			kill = min(kill, noticed+after)
		}
	}
	latest := kill + p.GiveUp + machine.SurveyLimit + margin
	latest += time.Duration(h.kernel.InitialWaitErrors()) * time.Second
	if p.Dumps() {
		latest += 2 * machine.DumpLimit
	}
	return latest
}

// noticed is when finite knows at the latest that the command has ended. Where a tracer holds the
// zombie, the pidfd tells.
func (h *history) noticed() (at time.Duration, ok bool) {
	if h.world.Command.Held == 0 {
		return h.fate.At, true
	}
	return h.fate.At + 1100*time.Millisecond, !h.world.Faults.NoPidfd && !h.world.Faults.NoFiles
}

// procFails reports whether /proc cannot be relied on.
func (h *history) procFails() bool {
	return h.world.Faults.NoProc
}

// outOfReach reports whether no way leads to a process: it is in the cgroup alone, and neither
// cgroup.kill nor pidfds work.
func (h *history) outOfReach(l *simkernel.Left) bool {
	f := &h.world.Faults
	return !l.Descends && f.LeafKill != 0 && (f.PidfdOpen != 0 || f.PidfdSend != 0 || f.NoFiles)
}

// tooLate reports whether a process was made behind the last round of the kill, by another one that
// may not be killed.
func (h *history) tooLate(l *simkernel.Left) bool {
	return l.Began > h.took-500*time.Millisecond &&
		slices.ContainsFunc(h.left, func(other simkernel.Left) bool { return other.Foreign })
}

// leaves reports whether what is left may be left.
func (h *history) leaves() bool { return h.cfg.Leftovers == ending.LeftoversLeave }

// checkLeft looks at who is there after the run.
func (h *history) checkLeft() {
	if !h.result.GaveUp && !h.leaves() && !h.kernel.Reaped() {
		h.wrong("a child is not reaped, though the run was not given up: %v", h.left)
	}
	for i := range h.left {
		l := &h.left[i]
		lost := l.Deep || l.Foreign || h.procFails() || h.outOfReach(l) || h.tooLate(l)
		if l.ByFinite {
			h.wrong("finite has stopped it, and left it so: %v", l)
		}
		switch {
		case l.Escaped, l.State == 'Z' && !l.Child, h.leaves() && !h.result.GaveUp:
		case !h.result.GaveUp:
			h.wrong("it is left, though the run was not given up: %v", l)
		case l.State != 'Z' && !lost:
			h.wrong("it could be killed, and is left: %v", l)
		case l.State != 'Z' && !l.Killed && !h.procFails() && !h.outOfReach(l) && !h.tooLate(l):
			h.wrong("it is left and was never sent SIGKILL: %v", l)
		}
	}
}

// checkSurvivors looks at whom the result names.
func (h *history) checkSurvivors() {
	if h.procFails() {
		return
	}
	named := map[int]bool{}
	for _, s := range h.result.Survivors {
		named[s.PID] = true
		if s.Why == "" {
			h.wrong("no reason is given for survivor %+v", s)
		}
	}
	if !h.result.GaveUp && len(named) > 0 {
		h.wrong("survivors, though the run was not given up: %v", h.result.Survivors)
	}
	for _, l := range h.left {
		old := l.Began < h.took-machine.SurveyLimit-margin
		if h.result.GaveUp && !l.Escaped && old && !named[l.PID] && (l.State != 'Z' || l.Child) {
			h.wrong("it is left and not named: %v", l)
		}
	}
}

// own is the command's own status.
func own(c reap.Change) int {
	if c.Signal() != 0 {
		return 128 + int(c.Signal())
	}
	return c.Status
}

// checkStatus looks at the exit status, given the cause.
func (h *history) checkStatus() {
	cause := &h.result.Cause
	want := -1
	switch {
	case cause.Kind == ending.KindStartFailed && errors.Is(cause.Err, unix.ENOENT):
		want = 127
	case cause.Kind == ending.KindStartFailed:
		want = 126
	case cause.Kind == ending.KindDeadline && !h.cfg.PreserveStatus:
		want = 124
	case h.result.PID == 0 && cause.By.Signal != 0:
		want = 128 + int(cause.By.Signal)
	case h.result.PID == 0:
		want = 128 + int(h.runner.policy.StopSignal)
	case !cause.Known && cause.Kind == ending.KindExited && h.result.ExitStatus != 137:
		want = 125 // it was never killed
	case !cause.Known:
		want = 137
	case h.fate.Ended:
		want = own(h.fate.Change)
	}
	if h.result.ExitStatus != want {
		h.wrong(
			"the exit status is %d, and should be %d: %+v, %+v",
			h.result.ExitStatus,
			want,
			*cause,
			h.fate,
		)
	}
	if (cause.Kind == ending.KindStartFailed) != (h.world.Faults.StartErr != nil) && h.fate.Made {
		h.wrong("the start is told of wrongly: %+v", *cause)
	}
}

// unclear is how close two moments may be for it to be unclear which is the first.
func (h *history) unclear() time.Duration {
	f := &h.world.Faults
	return 100*time.Millisecond + 20*f.SlowWait + time.Duration(
		h.kernel.InitialWaitErrors(),
	)*1100*time.Millisecond
}

// requested is when the first signal arrives that asks for the end.
func (h *history) requested() (at time.Duration) {
	at = never
	starting := h.world.Faults.StartDelay + h.unclear()
	for _, a := range h.arrivals {
		if signals.IsStop(a.signal.Number) &&
			(a.signal.Number != unix.SIGHUP || len(h.runner.policy.Requested) > 0 || a.at < starting) {
			at = min(at, a.at)
		}
	}
	return at
}

// checkCause looks at the cause, where it is clear what comes first.
func (h *history) checkCause() {
	forced, kind := h.forced()
	stop := h.requested()
	end := never
	if h.fate.Ended {
		end = h.fate.At
	}
	first := min(forced, stop)
	near := func(a, b time.Duration) bool { return a-b < h.unclear() && b-a < h.unclear() }
	switch {
	case !h.fate.Made, h.world.Command.Held != 0, h.cfg.StopDelay > 0,
		first < h.world.Faults.StartDelay+h.unclear(), near(forced, stop), near(first, end), near(forced, end):
		return
	}
	got := h.result.Cause.Kind
	switch {
	case end < first:
		if got != ending.KindExited && got != ending.KindSignaled && got != ending.KindOOM {
			h.wrong("the command ends at %v, first of all, and the cause is %v", end, got)
		}
	case stop < forced && (end < forced || len(h.runner.policy.Requested) > 0):
		if got != ending.KindStopRequested {
			h.wrong("a stop at %v is first, and the cause is %v", stop, got)
		}
	default:
		if got != kind {
			h.wrong("%v at %v is first, and the cause is %v", kind, forced, got)
		}
	}
}

// checkSignals looks at how often the command was sent each signal.
func (h *history) checkSignals() {
	allowed := map[unix.Signal]int{}
	for _, a := range h.arrivals {
		allowed[a.signal.Number]++
	}
	p := &h.runner.policy
	for _, l := range []ending.Ladder{p.Early, p.Ending} {
		for _, rung := range l {
			allowed[rung.Signal]++
		}
	}
	sent := map[unix.Signal]int{}
	for _, s := range h.kernel.Sent {
		if s.Command {
			sent[s.Signal]++
		}
	}
	for sig, n := range sent {
		if sig != unix.SIGKILL && sig != unix.SIGCONT && sig != unix.SIGSTOP && n > allowed[sig] {
			h.wrong("the command is sent %v %d times, and %d times are due", sig, n, allowed[sig])
		}
	}
}

// checkObedience looks whether a command that obeys a stop signal was given the chance, stopped or
// not.
func (h *history) checkObedience() {
	script := &h.world.Command
	if !h.fate.Ended || !h.fate.Killed || h.fate.Change.Signal() != unix.SIGKILL || !script.Obeys() ||
		h.kernel.WasFrozen() {
		return
	}
	stops := []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT}
	for _, s := range h.kernel.Sent {
		if !s.Command || !slices.Contains(stops, s.Signal) {
			continue
		}
		need := script.StopsAfter + time.Duration(script.StopsAgain+4)*time.Second + h.unclear()
		if h.fate.At-s.At > need {
			h.wrong("the command would end within %v of %v at %v, and is killed at %v", need, s.Signal, s.At,
				h.fate.At)
		}
		return
	}
}
