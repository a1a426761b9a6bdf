package machine

import (
	"flag"
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// world checks what a machine does, whatever it is told.
type world struct {
	t       *rapid.T
	m       *clocked
	gone    bool // EvExited was handled: the command's PID may be a stranger's
	ran     bool
	armed   map[TimerID]bool
	ends    int
	kills   int  // rungs that were SIGKILL to the command
	killing bool // as of the action that is looked at
}

func (w *world) tell(ev Event) {
	before := w.m.state
	actions := w.m.Handle(ev)
	if before == ending.StateEnded && len(actions) > 0 {
		w.t.Fatalf("%v after the end: %v", ev.Kind, actions)
	}
	if w.m.state < before {
		w.t.Fatalf("%v: back from %v to %v", ev.Kind, before, w.m.state)
	}
	// The event itself takes effect before what is done about it.
	if ev.Kind == EvStarted {
		w.ran = true
	}
	if ev.Kind == EvExited && ev.Change.PID == testPID && w.ran {
		w.gone = true
	}
	for i, a := range actions {
		w.check(ev, a, i == len(actions)-1)
	}
}

func (w *world) check(ev Event, a Action, last bool) {
	switch a.Kind {
	case ActForward, ActSend:
		if a.Target != ending.ForwardAll && (w.gone || !w.ran) {
			w.t.Fatalf("%v: %v, but the command is not there (ran %v, gone %v)", ev.Kind, a, w.ran, w.gone)
		}
		if a.Kind == ActSend && a.Sig == unix.SIGKILL {
			w.kills++
		}
		if a.Kind == ActSend && a.Sig == w.m.Policy.StopSignal && w.kills > 0 && a.Sig != unix.SIGKILL {
			w.t.Fatalf("%v: the ladder went down: %v after SIGKILL", ev.Kind, a)
		}
	case ActTerminate:
		if w.killing {
			w.t.Fatalf("%v: the ladder went down: %v while killing", ev.Kind, a)
		}
	case ActTransition:
		w.killing = a.To == ending.StateKilling
	case ActArm:
		if w.armed[a.Timer] {
			w.t.Fatalf("%v: timer %v was armed twice", ev.Kind, a.Timer)
		}
		if a.Length < 0 {
			w.t.Fatalf("%v: timer %v of %v", ev.Kind, a.Timer, a.Length)
		}
		w.armed[a.Timer] = true
	case ActDisarm:
		w.armed[a.Timer] = false
	case ActEnd:
		w.ends++
		if !last {
			w.t.Fatalf("%v: the end is not the last action", ev.Kind)
		}
	}
}

func drawConfig(t *rapid.T) (*terms, nsutil.Role) {
	role := rapid.SampledFrom([]nsutil.Role{nsutil.RoleInit, nsutil.RoleSubreaper}).Draw(t, "role")
	cfg := testTerms(func(c *terms) {
		c.Grace = rapid.SampledFrom([]time.Duration{ending.AtOnce, 0, time.Second}).Draw(t, "grace")
		c.StopDelay = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "stop-delay")
		c.ignored = rapid.SampledFrom([]signals.Set{0, signals.SetOf(unix.SIGTERM, unix.SIGHUP)}).Draw(t, "ignored")
		c.StopGrace = rapid.SampledFrom([]time.Duration{ending.Never, time.Second}).Draw(t, "stop-grace")
		c.GiveUp = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "give-up")
		c.Leftovers = rapid.SampledFrom([]ending.Leftovers{
			ending.LeftoversTerminate, ending.LeftoversKill, ending.LeftoversWait, ending.LeftoversLeave,
		}).
			Draw(t, "leftovers")
		c.Forward = rapid.SampledFrom([]ending.Forward{
			ending.ForwardChild, ending.ForwardGroup, ending.ForwardAll,
		}).
			Draw(t, "forward")
		c.Snapshot = rapid.Bool().Draw(t, "snapshot")
		if l := rapid.SampledFrom([]string{"", "", "KILL@0s", "QUIT@0s,KILL@0s", "DUMP@0s,TERM@0s,KILL@0s", "USR1@-2s,DUMP@-1s,QUIT@0s,DUMP@0s,TERM@1s,DUMP@2s,KILL@2s"}).Draw(t, "ladder"); l != "" {
			c.Escalate, c.Grace, c.StopGrace = mustParseLadder(l), 0, 0
			return
		}
		c.StopSignal = rapid.SampledFrom([]unix.Signal{unix.SIGTERM, unix.SIGKILL}).Draw(t, "stop-signal")
		rules := rapid.SliceOf(rapid.SampledFrom([]string{"TERM:0", "USR1:TERM", "INT:KILL"}))
		for _, rule := range rules.Draw(t, "rewrite") {
			_ = c.Rewrite.ParseRule(rule)
		}
	})
	return cfg, role
}

// drawEvent is anything, at any time: the machine must not rely on an order that the kernel happens
// to keep.
func drawEvent(t *rapid.T) Event {
	ev := Event{Kind: rapid.SampledFrom([]eventKind{
		EvNone, EvCloning, EvStarted, EvStartFailed, EvSignal, EvSignal, EvExited, EvStopped, EvStopped,
		EvReaped, EvRemaining, EvEmpty,
		EvNamespace, EvDeadline, EvCancel, EvTimer, EvTimer, EvSurvivors, EvTrouble, EvNotice, EvDumped, EvHeld,
	}).Draw(t, "kind")}
	switch ev.Kind {
	case EvStarted:
		ev.Pid = testPID
	case EvStartFailed, EvTrouble:
		ev.Err = unix.ENOENT
	case EvSignal:
		ev.Signal.Passed = rapid.Bool().Draw(t, "passed")
		ev.Signal.Number = rapid.SampledFrom([]unix.Signal{1, 2, 9, 10, 15, 18, 20, 40, 64}).Draw(t, "signal")
	case EvNotice:
		ev.Count = rapid.IntRange(0, 3).Draw(t, "rungs")
	case EvReaped:
		ev.Count = rapid.IntRange(1, 9).Draw(t, "count")
		ev.Killed = rapid.IntRange(0, ev.Count).Draw(t, "killed")
	case EvExited, EvStopped:
		ev.Change = reap.Change{
			PID: rapid.SampledFrom([]int{testPID, testPID, 99}).Draw(t, "pid"),
			Code: rapid.SampledFrom([]reap.Code{
				reap.CodeExited, reap.CodeKilled, reap.CodeStopped, reap.CodeContinued,
			}).
				Draw(t, "code"),
			Status: rapid.SampledFrom([]int{0, 1, 9, 15, 19, 20}).Draw(t, "status"),
		}
	case EvHeld:
		ev.Change = reap.Change{
			PID:  testPID,
			Code: rapid.SampledFrom([]reap.Code{0, reap.CodeExited}).Draw(t, "code"),
		}
	case EvNamespace:
		ev.Empty = rapid.Bool().Draw(t, "empty")
	case EvDeadline, EvCancel:
		ev.Gone = rapid.Bool().Draw(t, "gone")
	case EvTimer:
		ev.Timer = TimerID(rapid.IntRange(0, int(TimerCount)).Draw(t, "timer"))
	}
	return ev
}

// Whatever happens, in whatever order: states and rungs only go up, the command is not signalled
// when it is not there, and the end comes once. And whatever has happened: after a deadline, with
// nothing but time passing, the end comes.
func TestMachineAlwaysEnds(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		_ = flag.Set("rapid.checks", "20000") // they take 0.01 ms each
	}
	rapid.Check(t, func(t *rapid.T) {
		cfg, role := drawConfig(t)
		w := &world{t: t, m: newMachine(cfg, role), armed: map[TimerID]bool{}}
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			ev := drawEvent(t)
			if ev.Kind == EvTimer {
				w.armed[ev.Timer] = false
			}
			w.tell(ev)
		}
		w.letTimePass()
		if w.ends != 1 || w.m.state != ending.StateEnded {
			t.Fatalf("%d ends, in state %v", w.ends, w.m.state)
		}
	})
}

// letTimePass reaches the deadline and lets every timer run out. Nothing dies, nothing answers.
func (w *world) letTimePass() {
	w.tell(Event{Kind: EvDeadline, Gone: rapid.Bool().Draw(w.t, "gone")})
	for range 100 {
		if w.m.state == ending.StateEnded {
			return
		}
		for id := range TimerCount {
			if w.armed[id] {
				w.armed[id] = false
				w.tell(timer(id))
				break
			}
		}
	}
}
