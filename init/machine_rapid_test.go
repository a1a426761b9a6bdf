package pid1

import (
	"flag"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// world checks what a machine does, whatever it is told.
type world struct {
	t       *rapid.T
	m       *machine
	gone    bool // evExited was handled: the command's PID may be a stranger's
	ran     bool
	armed   map[timerID]bool
	ends    int
	kills   int  // rungs that were SIGKILL to the command
	killing bool // as of the action that is looked at
}

func (w *world) tell(ev event) {
	before := w.m.state
	actions := w.m.handle(ev)
	if before == stateEnded && len(actions) > 0 {
		w.t.Fatalf("%v after the end: %v", ev.kind, actions)
	}
	if w.m.state < before {
		w.t.Fatalf("%v: back from %v to %v", ev.kind, before, w.m.state)
	}
	// The event itself takes effect before what is done about it.
	if ev.kind == evStarted {
		w.ran = true
	}
	if ev.kind == evExited && ev.change.PID == testPID && w.ran {
		w.gone = true
	}
	for i, a := range actions {
		w.check(ev, a, i == len(actions)-1)
	}
}

func (w *world) check(ev event, a action, last bool) {
	switch a.kind {
	case actForward, actSend:
		if a.target != ForwardAll && (w.gone || !w.ran) {
			w.t.Fatalf("%v: %v, but the command is not there (ran %v, gone %v)", ev.kind, a, w.ran, w.gone)
		}
		if a.kind == actSend && a.sig == unix.SIGKILL {
			w.kills++
		}
		if a.kind == actSend && a.sig == w.m.cfg.StopSignal && w.kills > 0 && a.sig != unix.SIGKILL {
			w.t.Fatalf("%v: the ladder went down: %v after SIGKILL", ev.kind, a)
		}
	case actTerminate:
		if w.killing {
			w.t.Fatalf("%v: the ladder went down: %v while killing", ev.kind, a)
		}
	case actTransition:
		w.killing = a.to == stateKilling
	case actArm:
		if w.armed[a.timer] {
			w.t.Fatalf("%v: timer %v was armed twice", ev.kind, a.timer)
		}
		if a.length < 0 {
			w.t.Fatalf("%v: timer %v of %v", ev.kind, a.timer, a.length)
		}
		w.armed[a.timer] = true
	case actDisarm:
		w.armed[a.timer] = false
	case actEnd:
		w.ends++
		if !last {
			w.t.Fatalf("%v: the end is not the last action", ev.kind)
		}
	}
}

func drawConfig(t *rapid.T) (*Config, nsutil.Role) {
	role := rapid.SampledFrom([]nsutil.Role{nsutil.RoleInit, nsutil.RoleSubreaper}).Draw(t, "role")
	cfg := testConfig(func(c *Config) {
		c.Grace = rapid.SampledFrom([]time.Duration{Off, 0, time.Second}).Draw(t, "grace")
		c.StopDelay = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "stop-delay")
		c.ignored = rapid.SampledFrom([]signals.Set{0, signals.SetOf(unix.SIGTERM, unix.SIGHUP)}).Draw(t, "ignored")
		c.StopGrace = rapid.SampledFrom([]time.Duration{Off, time.Second}).Draw(t, "stop-grace")
		c.GiveUp = rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(t, "give-up")
		c.Leftovers = rapid.SampledFrom([]Leftovers{LeftoversTerminate, LeftoversKill, LeftoversWait, LeftoversLeave}).Draw(t, "leftovers")
		c.Forward = rapid.SampledFrom([]Forward{ForwardChild, ForwardGroup, ForwardAll}).Draw(t, "forward")
		c.Snapshot = rapid.Bool().Draw(t, "snapshot")
		if l := rapid.SampledFrom([]string{"", "", "KILL@0s", "QUIT@0s,KILL@0s", "DUMP@0s,TERM@0s,KILL@0s", "USR1@-2s,DUMP@-1s,QUIT@0s,DUMP@0s,TERM@1s,DUMP@2s,KILL@2s"}).Draw(t, "ladder"); l != "" {
			c.Escalate, c.Timeout, c.Grace, c.StopGrace = mustParseLadder(l), time.Hour, 0, 0
			return
		}
		c.StopSignal = rapid.SampledFrom([]unix.Signal{unix.SIGTERM, unix.SIGKILL}).Draw(t, "stop-signal")
		for _, rule := range rapid.SliceOf(rapid.SampledFrom([]string{"TERM:0", "USR1:TERM", "INT:KILL"})).Draw(t, "rewrite") {
			_ = c.Rewrite.ParseRule(rule)
		}
	})
	return cfg, role
}

// drawEvent is anything, at any time: the machine must not rely on an order that the kernel happens
// to keep.
func drawEvent(t *rapid.T) event {
	ev := event{kind: rapid.SampledFrom([]eventKind{
		evNone, evCloning, evStarted, evStartFailed, evSignal, evSignal, evExited, evStopped, evStopped, evReaped, evRemaining, evEmpty,
		evNamespace, evDeadline, evCancel, evTimer, evTimer, evSurvivors, evTrouble, evNotice, evDumped, evHeld,
	}).Draw(t, "kind")}
	switch ev.kind {
	case evStarted:
		ev.pid = testPID
	case evStartFailed, evTrouble:
		ev.err = unix.ENOENT
	case evSignal:
		ev.signal.Passed = rapid.Bool().Draw(t, "passed")
		ev.signal.Number = rapid.SampledFrom([]unix.Signal{1, 2, 9, 10, 15, 18, 20, 40, 64}).Draw(t, "signal")
	case evNotice:
		ev.count = rapid.IntRange(0, 3).Draw(t, "rungs")
	case evReaped:
		ev.count = rapid.IntRange(1, 9).Draw(t, "count")
		ev.killed = rapid.IntRange(0, ev.count).Draw(t, "killed")
	case evExited, evStopped:
		ev.change = reap.Change{
			PID:    rapid.SampledFrom([]int{testPID, testPID, 99}).Draw(t, "pid"),
			Code:   rapid.SampledFrom([]reap.Code{reap.CodeExited, reap.CodeKilled, reap.CodeStopped, reap.CodeContinued}).Draw(t, "code"),
			Status: rapid.SampledFrom([]int{0, 1, 9, 15, 19, 20}).Draw(t, "status"),
		}
	case evHeld:
		ev.change = reap.Change{PID: testPID, Code: rapid.SampledFrom([]reap.Code{0, reap.CodeExited}).Draw(t, "code")}
	case evNamespace:
		ev.empty = rapid.Bool().Draw(t, "empty")
	case evDeadline, evCancel:
		ev.gone = rapid.Bool().Draw(t, "gone")
	case evTimer:
		ev.timer = timerID(rapid.IntRange(0, int(timerCount)).Draw(t, "timer"))
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
		w := &world{t: t, m: newMachine(cfg, role), armed: map[timerID]bool{}}
		for range rapid.IntRange(0, 40).Draw(t, "events") {
			ev := drawEvent(t)
			if ev.kind == evTimer {
				w.armed[ev.timer] = false
			}
			w.tell(ev)
		}
		w.letTimePass()
		if w.ends != 1 || w.m.state != stateEnded {
			t.Fatalf("%d ends, in state %v", w.ends, w.m.state)
		}
	})
}

// letTimePass reaches the deadline and lets every timer run out. Nothing dies, nothing answers.
func (w *world) letTimePass() {
	w.tell(event{kind: evDeadline, gone: rapid.Bool().Draw(w.t, "gone")})
	for range 100 {
		if w.m.state == stateEnded {
			return
		}
		for id := range timerCount {
			if w.armed[id] {
				w.armed[id] = false
				w.tell(timer(id))
				break
			}
		}
	}
}
