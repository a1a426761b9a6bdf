package pid1

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/record"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// testPID is the command's.
const testPID = 7

// fakeWorld is a world with one command in it, which reacts to signals as the test says.
type fakeWorld struct {
	post     func(machine.Event)
	onStart  func(*fakeWorld)
	react    func(w *fakeWorld, sig unix.Signal) // nil: deaf
	zombie   bool
	dumps    func() time.Duration // how long a snapshot takes; nil: it never comes
	orphaned bool                 // the parent is gone already

	began  time.Time
	starts int
	got    []string
}

func (w *fakeWorld) note(what string) {
	w.got = append(w.got, what+"@"+time.Since(w.began).String())
}

func (w *fakeWorld) PassOn(int, machine.Rules)             {}
func (w *fakeWorld) Latest(time.Duration, int, bool)       {}
func (w *fakeWorld) WatchParent(unix.Signal) (bool, error) { return w.orphaned, nil }
func (w *fakeWorld) Identify(int) string                   { return "sender" }
func (w *fakeWorld) Gone() bool                            { return w.zombie }
func (w *fakeWorld) Empty() bool                           { return true }
func (w *fakeWorld) OOMKills(bool) (int, bool)             { return 0, false }
func (w *fakeWorld) Without() []string                     { return nil }
func (w *fakeWorld) Close(bool) error                      { return nil }

func (w *fakeWorld) Note(ev *machine.Event) {
	if ev.Kind == machine.EvStarted {
		w.began = time.Now()
	}
}

func (w *fakeWorld) Start() {
	w.starts++
	go func() {
		w.post(machine.Event{Kind: machine.EvStarted, Pid: testPID, Pidfd: -1})
		if w.onStart != nil {
			w.onStart(w)
		}
	}()
}

func (w *fakeWorld) Do(a *machine.Action) error {
	switch a.Kind {
	case machine.ActForward:
		w.signal(a.Signal.Number)
	case machine.ActSend:
		w.signal(a.Sig)
	case machine.ActTerminate:
		w.note("terminate")
	case machine.ActKillTree:
		w.note("tree")
	case machine.ActThaw:
		w.note("thaw")
	case machine.ActDump:
		w.dump()
	case machine.ActSurvey:
		w.note("survey")
		go w.post(
			machine.Event{Kind: machine.EvSurvivors, Survivors: []inspect.Survivor{{PID: testPID, State: 'D'}}},
		)
	}
	return nil
}

func (w *fakeWorld) signal(sig unix.Signal) {
	w.note(signals.Name(sig))
	if w.react != nil {
		go w.react(w, sig)
	}
}

func (w *fakeWorld) dump() {
	w.note("dump")
	if w.dumps == nil {
		return
	}
	go func() {
		time.Sleep(w.dumps())
		w.post(
			machine.Event{
				Kind:     machine.EvDumped,
				Snapshot: inspect.Snapshot{Processes: []inspect.Process{{PID: testPID, Comm: "job"}}},
			},
		)
	}()
}

// die is what the reaper says of the command's end, in a tree with nobody else.
func (w *fakeWorld) die(c reap.Change) {
	c.PID = testPID
	handled := make(chan struct{}, 1)
	w.post(machine.Event{Kind: machine.EvExited, Change: c, Handled: handled})
	w.post(machine.Event{Kind: machine.EvEmpty})
}

type fakeClock struct{ *time.Timer }

func (c fakeClock) Close() bool { return c.Stop() }

// testConfig is that of a command.
func testConfig(change func(*Config)) Config {
	cfg := Config{Args: []string{"job"}}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// testRunner is a runner whose world a test makes.
func testRunner(cfg Config, w world, incoming <-chan signals.Signal) *runner {
	r := newRunner(cfg)
	var err error
	if r.policy, err = cfg.policy(nsutil.RoleSubreaper, false); err != nil {
		panic(err)
	}
	if err := r.out.Open(record.Targets{}, cfg.Log); err != nil {
		panic(err)
	}
	r.source = &signals.Source{C: incoming}
	r.effects = w
	r.alarm = func(d time.Duration, fire func()) clock { return fakeClock{time.AfterFunc(d, fire)} }
	r.decide(machine.Setup{Role: nsutil.RoleSubreaper})
	return r
}

// runFake runs a command in a bubble in which time is exact, and returns the result and how long it
// took.
func runFake(
	ctx context.Context,
	cfg Config,
	w *fakeWorld,
	incoming <-chan signals.Signal,
) (ending.Result, time.Duration) {
	r := testRunner(cfg, w, incoming)
	w.post = r.post
	begin := time.Now()
	return r.run(ctx), time.Since(begin)
}

// send returns where signals arrive, each at its time.
func send(at map[time.Duration]unix.Signal) <-chan signals.Signal {
	incoming := make(chan signals.Signal, len(at))
	for when, sig := range at {
		time.AfterFunc(when, func() { incoming <- signals.Signal{Number: sig} })
	}
	return incoming
}

func TestRunnerKeepsTime(t *testing.T) {
	obey := func(k *fakeWorld, sig unix.Signal) { k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)}) }
	dieOfKill := func(k *fakeWorld, sig unix.Signal) {
		if sig == unix.SIGKILL {
			obey(k, sig)
		}
	}
	tests := []struct {
		name   string
		cfg    func(*Config)
		ctx    time.Duration // 0: no deadline
		world  fakeWorld
		send   map[time.Duration]unix.Signal
		took   time.Duration
		status int
		got    []string
	}{
		{
			name: "the command ends by itself before its deadline",
			cfg:  func(c *Config) { c.Timeout = time.Hour },
			world: fakeWorld{onStart: func(k *fakeWorld) {
				time.Sleep(3 * time.Second)
				k.die(reap.Change{Code: reap.CodeExited, Status: 4})
			}},
			took: 3 * time.Second, status: 4,
		},
		{
			name:  "timeout",
			cfg:   func(c *Config) { c.Timeout = 30 * time.Second },
			world: fakeWorld{react: obey},
			took:  30 * time.Second, status: 124, got: []string{"SIGTERM@30s"},
		},
		{
			name:  "the context's deadline is the command's",
			ctx:   20 * time.Second,
			world: fakeWorld{react: obey},
			took:  20 * time.Second, status: 124, got: []string{"SIGTERM@20s"},
		},
		{
			name:  "the earlier of the two counts",
			cfg:   func(c *Config) { c.Timeout = 30 * time.Second },
			ctx:   20 * time.Second,
			world: fakeWorld{react: obey},
			took:  20 * time.Second, status: 124, got: []string{"SIGTERM@20s"},
		},
		{
			name:  "timeout, grace, kill",
			cfg:   func(c *Config) { c.Timeout = 30 * time.Second; c.Grace = 7 * time.Second },
			world: fakeWorld{react: dieOfKill},
			took:  37 * time.Second, status: 124, got: []string{"SIGTERM@30s", "SIGKILL@37s", "tree@37s"},
		},
		{
			name:  "timeout, grace, kill, give up",
			cfg:   func(c *Config) { c.Timeout = 30 * time.Second; c.GiveUp = 2 * time.Second },
			world: fakeWorld{},
			took:  37 * time.Second, status: 124,
			got: []string{"SIGTERM@30s", "SIGKILL@35s", "tree@35s", "survey@37s"},
		},
		{
			name:  "a requested stop has its own clock",
			cfg:   func(c *Config) { c.StopGrace = 4 * time.Second },
			world: fakeWorld{react: dieOfKill},
			send:  map[time.Duration]unix.Signal{time.Second: unix.SIGTERM},
			took:  5 * time.Second, status: 137, got: []string{"SIGTERM@1s", "SIGKILL@5s", "tree@5s"},
		},
		{
			name:  "a requested stop without a clock goes on until the deadline",
			cfg:   func(c *Config) { c.Timeout = 10 * time.Second },
			world: fakeWorld{react: dieOfKill},
			send:  map[time.Duration]unix.Signal{time.Second: unix.SIGTERM},
			took:  15 * time.Second, status: 124,
			got: []string{"SIGTERM@1s", "SIGTERM@10s", "SIGKILL@15s", "tree@15s"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.ctx != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.ctx)
					defer cancel()
				}
				k := tt.world
				res, took := runFake(ctx, testConfig(tt.cfg), &k, send(tt.send))
				if took != tt.took || res.ExitStatus != tt.status {
					t.Errorf("took %v with status %d, want %v and %d", took, res.ExitStatus, tt.took, tt.status)
				}
				if len(k.got) != len(tt.got) {
					t.Fatalf("the command got %v, want %v", k.got, tt.got)
				}
				for i := range k.got {
					if k.got[i] != tt.got[i] {
						t.Errorf("the command got %v, want %v", k.got, tt.got)
						break
					}
				}
				for _, rung := range res.Ladder {
					if rung.At < 0 || rung.At > took {
						t.Errorf("rung %+v is not within the run", rung)
					}
				}
			})
		})
	}
}

// A command that had already exited is never reported as timed out, even if its deadline is noticed
// before its end is.
func TestRunnerAsksBeforeItCallsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeWorld{zombie: true, onStart: func(k *fakeWorld) {
			time.Sleep(1001 * time.Millisecond) // the zombie is there at 1s, the reaper's word of it 1 ms later
			k.die(reap.Change{Code: reap.CodeExited, Status: 0})
		}}
		res, _ := runFake(t.Context(), testConfig(func(c *Config) { c.Timeout = time.Second }), k, nil)
		if res.Cause.Kind != ending.KindExited || res.ExitStatus != 0 || len(k.got) != 0 {
			t.Errorf("cause %v, status %d, sent %v; want exited, 0, nothing", res.Cause.Kind, res.ExitStatus, k.got)
		}
	})
}

// Cancelling the context is a request to stop.
func TestRunnerCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		k := &fakeWorld{
			react: func(k *fakeWorld, sig unix.Signal) { k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)}) },
		}
		res, took := runFake(ctx, testConfig(nil), k, nil)
		if took != time.Second || res.ExitStatus != 143 || res.Cause.Kind != ending.KindStopRequested {
			t.Errorf("took %v, status %d, cause %v", took, res.ExitStatus, res.Cause.Kind)
		}
	})
}

// A context that is over before the start starts nothing.
func TestRunnerStartsNothingTooLate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    func(*Config)
		cancel bool
		sig    unix.Signal
		status int
		kind   ending.Kind
	}{
		{name: "cancelled", cancel: true, status: 143, kind: ending.KindStopRequested},
		{
			name: "deadline", cfg: func(c *Config) { c.Deadline = time.Now() }, status: 124,
			kind: ending.KindDeadline,
		},
		{name: "signal", sig: unix.SIGINT, status: 130, kind: ending.KindStopRequested},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			incoming := make(chan signals.Signal, 1)
			if tt.cancel {
				cancel()
			}
			if tt.sig != 0 {
				incoming <- signals.Signal{Number: tt.sig}
			}
			k := &fakeWorld{onStart: func(*fakeWorld) { t.Error("the command was started") }}
			res, _ := runFake(ctx, testConfig(tt.cfg), k, incoming)
			if res.PID != 0 || res.ExitStatus != tt.status || res.Cause.Kind != tt.kind {
				t.Errorf(
					"pid %d, status %d, cause %v; want 0, %d, %v",
					res.PID,
					res.ExitStatus,
					res.Cause.Kind,
					tt.status,
					tt.kind,
				)
			}
		})
	}
}

// A parent that is gone before its death can be watched sends nothing any more, so the run goes on
// as if it had: nothing is started.
func TestRunnerParentIsGone(t *testing.T) {
	for sig, status := range map[unix.Signal]int{unix.SIGTERM: 143, unix.SIGKILL: 137} {
		k := &fakeWorld{orphaned: true, onStart: func(*fakeWorld) { t.Error("the command was started") }}
		res, _ := runFake(t.Context(), testConfig(func(c *Config) { c.ParentDeath = sig }), k, nil)
		if res.PID != 0 || res.ExitStatus != status {
			t.Errorf("%v: pid %d, status %d; want 0, %d", sig, res.PID, res.ExitStatus, status)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		k := &fakeWorld{
			orphaned: true,
			react: func(k *fakeWorld, sig unix.Signal) {
				k.die(reap.Change{Code: reap.CodeExited, Status: int(sig)})
			},
		}
		res, _ := runFake(t.Context(), testConfig(func(c *Config) { c.ParentDeath = unix.SIGUSR1 }), k, nil)
		if res.ExitStatus != int(unix.SIGUSR1) {
			t.Errorf("status %d: SIGUSR1 did not reach the command", res.ExitStatus)
		}
	})
}

// Who asked for a stop is in the result, with the name that the kernel knew.
func TestRunnerNamesTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		incoming := make(chan signals.Signal)
		time.AfterFunc(time.Second, func() {
			incoming <- signals.Signal{Number: unix.SIGTERM, Sender: signals.Sender{Known: true, PID: 42, UID: 7}}
		})
		k := &fakeWorld{
			react: func(k *fakeWorld, sig unix.Signal) { k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)}) },
		}
		res, _ := runFake(t.Context(), testConfig(nil), k, incoming)
		want := ending.By{
			Signal: unix.SIGTERM,
			Sender: signals.Sender{Known: true, PID: 42, UID: 7, Comm: "sender"},
		}
		if res.Cause.By != want {
			t.Errorf("by %+v, want %+v", res.Cause.By, want)
		}
	})
}

// A panic in what handles an event is logged and counted, and the run goes on to its end.
func TestAPanicDoesNotEndTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeWorld{onStart: func(k *fakeWorld) {
			time.Sleep(time.Second)
			k.die(reap.Change{Code: reap.CodeExited, Status: 6})
		}}
		r := testRunner(testConfig(nil), panickyWorld{k}, make(chan signals.Signal))
		k.post = r.post
		time.AfterFunc(
			time.Millisecond,
			func() { r.post(machine.Event{Kind: machine.EvSignal, Signal: signals.Signal{Number: unix.SIGUSR1}}) },
		)
		res := r.run(t.Context())
		if res.ExitStatus != 6 || res.Counts.Unexpected != 1 {
			t.Errorf("status %d with %d unexpected events, want 6 and 1", res.ExitStatus, res.Counts.Unexpected)
		}
	})
}

type panickyWorld struct{ *fakeWorld }

func (w panickyWorld) Do(a *machine.Action) error {
	if a.Kind == machine.ActForward {
		panic("on purpose")
	}
	return w.fakeWorld.Do(a)
}
