package pid1

import (
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/simkernel"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// scenario is what a history begins with. A seed makes it.
type scenario struct {
	cfg      Config
	world    simkernel.Options
	deadline time.Duration // of the context; 0: none
	cancel   time.Duration // 0: never
	lifeline time.Duration
	arrivals []arrival
}

// arrival is a signal that finite gets.
type arrival struct {
	at     time.Duration
	signal signals.Signal
}

func (s *scenario) String() string {
	c := &s.cfg
	text := fmt.Sprintf("role %v, cgroup %v, timeout %v, grace %v, stop grace %v, stop delay %v, give up %v,"+
		" leftovers %v, forward %v, escalate %v, preserve %v, snapshot %v, context's deadline %v, cancelled at %v,"+
		" lifeline %v, faults %+v", s.world.Role, s.world.Leaf, c.Timeout, c.Grace, c.StopGrace, c.StopDelay,
		c.GiveUp, c.Leftovers, c.Forward, c.Escalate, c.PreserveStatus, c.Snapshot, s.deadline, s.cancel,
		s.lifeline, s.world.Faults)
	for _, a := range s.arrivals {
		text += fmt.Sprintf(", %s at %v", signals.Name(a.signal.Number), a.at)
	}
	return text
}

// drawScenario makes the scenario of a seed.
func drawScenario(seed uint64) *scenario {
	r := rand.New(rand.NewPCG(seed, 1))
	s := &scenario{world: simkernel.Options{Seed: seed, Role: nsutil.Role(r.IntN(2)), Leaf: r.IntN(5) < 2}}
	spans := []time.Duration{10 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second, 20 * time.Second}
	span := spans[r.IntN(len(spans))]
	s.world.Hard = r.IntN(3) == 0
	s.world.Command = simkernel.DrawScript(r, 0, span, s.world.Hard)
	s.world.Faults = drawFaults(r, s.world.Role)
	s.drawConfig(r, span)
	s.drawEnds(r, span)
	return s
}

func oneIn(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func (s *scenario) drawConfig(r *rand.Rand, span time.Duration) {
	c := &s.cfg
	c.Args = []string{"command"}
	if r.IntN(5) < 3 {
		c.Timeout = simkernel.Upto(r, span)
	}
	if c.GiveUp = MinGiveUp; !oneIn(r, 4) {
		c.GiveUp += simkernel.Upto(r, time.Second)
	}
	c.Leftovers = ending.Leftovers(r.IntN(4))
	if c.Leftovers == ending.LeftoversLeave && (s.world.Role == nsutil.RoleInit || !oneIn(r, 3)) {
		c.Leftovers = ending.LeftoversTerminate
	}
	c.Forward = ending.Forward(r.IntN(3))
	c.PreserveStatus = oneIn(r, 8)
	c.Snapshot = oneIn(r, 10)
	if oneIn(r, 10) {
		c.StopDelay = simkernel.Upto(r, span)
	}
	if oneIn(r, 6) {
		c.Escalate = drawLadder(r, c.Timeout, span)
		return
	}
	c.Grace = drawGrace(r, span)
	if oneIn(r, 2) {
		c.StopGrace = drawGrace(r, span)
	}
	if oneIn(r, 5) {
		c.StopSignal = unix.SIGQUIT
	}
}

func drawGrace(r *rand.Rand, span time.Duration) time.Duration {
	switch r.IntN(6) {
	case 0:
		return ending.AtOnce
	case 1:
		return 0
	case 2:
		return 12 * time.Second
	}
	return simkernel.Upto(r, span)
}

func drawLadder(r *rand.Rand, timeout, span time.Duration) (l ending.Ladder) {
	if timeout > 2 && oneIn(r, 2) {
		l = append(l, ending.LadderRung{After: -simkernel.Upto(r, timeout-2) - 1, Signal: unix.SIGUSR1})
		l[0].After = max(l[0].After, 1-timeout)
	}
	at := time.Duration(0)
	for _, sig := range []unix.Signal{unix.SIGQUIT, 0, unix.SIGTERM} {
		if oneIn(r, 2) {
			l = append(l, ending.LadderRung{After: at, Signal: sig})
		}
		if oneIn(r, 2) {
			at += simkernel.Upto(r, span)
		}
	}
	return append(l, ending.LadderRung{After: at, Signal: unix.SIGKILL})
}

// drawEnds draws what ends the run from outside. There always is something.
func (s *scenario) drawEnds(r *rand.Rand, span time.Duration) {
	if oneIn(r, 8) {
		s.deadline = simkernel.Upto(r, span)
	}
	if oneIn(r, 8) {
		s.lifeline = simkernel.Upto(r, span)
	}
	if oneIn(r, 8) || s.cfg.Timeout == 0 && s.deadline == 0 {
		s.cancel = span + simkernel.Upto(r, span)
	}
	kinds := []unix.Signal{
		unix.SIGTERM, unix.SIGTERM, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1,
		unix.SIGTSTP,
		unix.SIGCONT, unix.SIGWINCH,
	}
	for n := r.IntN(8) - 4; n > 0; n-- {
		sig := signals.Signal{Number: kinds[r.IntN(len(kinds))], Sender: signals.Sender{Known: true, PID: 0}}
		s.arrivals = append(s.arrivals, arrival{simkernel.Upto(r, span), sig})
	}
}

func drawFaults(r *rand.Rand, role nsutil.Role) (f simkernel.Faults) {
	f.Strangers = oneIn(r, 2)
	if oneIn(r, 3) {
		f.StartDelay = simkernel.Upto(r, 50*time.Millisecond)
	}
	if oneIn(r, 2) {
		return f
	}
	f.NoSubreaper = role == nsutil.RoleSubreaper && oneIn(r, 20)
	f.NoPidfd = oneIn(r, 10)
	f.NoGroupSend = oneIn(r, 4)
	errs := []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EMFILE, unix.ENFILE}
	if oneIn(r, 8) {
		f.PidfdOpen = errs[r.IntN(len(errs))]
	}
	if oneIn(r, 10) {
		f.PidfdSend = errs[r.IntN(2)]
		f.NoPidfd = f.NoPidfd || oneIn(r, 2)
	}
	f.NoProc = oneIn(r, 25)
	f.NoChildren = oneIn(r, 10)
	f.NoFiles = oneIn(r, 15)
	if oneIn(r, 20) {
		f.WaitErrors = 1 + r.IntN(2)
	}
	if oneIn(r, 8) {
		f.LeafKill = unix.EOPNOTSUPP
	}
	f.NoClone = oneIn(r, 10)
	if oneIn(r, 8) {
		f.SlowWait = simkernel.Upto(r, 5*time.Millisecond)
	}
	if oneIn(r, 8) {
		f.SlowProc = simkernel.Upto(r, 3*time.Millisecond)
	}
	if oneIn(r, 30) {
		f.StartErr = []error{unix.ENOENT, unix.EACCES}[r.IntN(2)]
	}
	if oneIn(r, 15) {
		f.StartDelay = simkernel.Upto(r, 20*time.Second)
	}
	if oneIn(r, 8) {
		f.Limit = 2 + r.IntN(6)
	}
	return f
}
