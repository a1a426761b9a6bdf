package pid1

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// fakeKernel is a world with one command in it, which reacts to signals as the test says.
type fakeKernel struct {
	post     func(event)
	onStart  func(*fakeKernel)
	react    func(k *fakeKernel, sig unix.Signal) // nil: deaf
	zombie   bool
	dumps    func() time.Duration // how long a snapshot takes; nil: it never comes
	orphaned bool                 // the parent is gone already

	began  time.Time
	starts int
	got    []string
}

func (k *fakeKernel) note(what string) {
	k.got = append(k.got, what+"@"+time.Since(k.began).String())
}

func (k *fakeKernel) passOn(int, passRules)           {}
func (k *fakeKernel) noteFact(event)                  {}
func (k *fakeKernel) latest(time.Duration, int, bool) {}

func (k *fakeKernel) start() {
	k.starts++
	go func() {
		k.post(event{kind: evStarted, pid: testPID, pidfd: -1})
		if k.onStart != nil {
			k.onStart(k)
		}
	}()
}

type fakeClock struct{ *time.Timer }

func (c fakeClock) close() bool { return c.Stop() }

func (k *fakeKernel) alarm(d time.Duration, fire func()) clock {
	return fakeClock{time.AfterFunc(d, fire)}
}
func (k *fakeKernel) adopt(int, int, bool) { k.began = time.Now() }

func (k *fakeKernel) signal(_ Forward, sig signals.Signal) error {
	k.note(signals.Name(sig.Number))
	if k.react != nil {
		go k.react(k, sig.Number)
	}
	return nil
}

func (k *fakeKernel) watchParent(unix.Signal) (bool, error) { return k.orphaned, nil }
func (k *fakeKernel) identify(int) string                   { return "sender" }

// die is what the reaper says of the command's end, in a tree with nobody else.
func (k *fakeKernel) die(c reap.Change) {
	c.PID = testPID
	handled := make(chan struct{}, 1)
	k.post(event{kind: evExited, change: c, handled: handled})
	k.post(event{kind: evEmpty})
}

func (k *fakeKernel) gone() bool            { return k.zombie }
func (k *fakeKernel) terminate(unix.Signal) { k.note("terminate") }
func (k *fakeKernel) killTree()             { k.note("tree") }
func (k *fakeKernel) empty() bool           { return true }
func (k *fakeKernel) oomKills() int         { return 0 }
func (k *fakeKernel) thaw()                 { k.note("thaw") }
func (k *fakeKernel) look()                 {}
func (k *fakeKernel) suspend()              {}
func (k *fakeKernel) foreground()           {}
func (k *fakeKernel) without() []string     { return nil }
func (k *fakeKernel) close(bool) error      { return nil }
func (k *fakeKernel) dump() {
	k.note("dump")
	if k.dumps == nil {
		return
	}
	go func() {
		time.Sleep(k.dumps())
		k.post(event{kind: evDumped, snapshot: inspect.Snapshot{Processes: []inspect.Process{{PID: testPID, Comm: "job"}}}})
	}()
}

func (k *fakeKernel) survey() {
	k.note("survey")
	go k.post(event{kind: evSurvivors, survivors: []inspect.Survivor{{PID: testPID, State: 'D'}}})
}

func newRunner(cfg *Config, source *signals.Source) *runner {
	r := &runner{cfg: cfg}
	r.init(nsutil.RoleSubreaper, source)
	return r
}

// runFake runs a command in a bubble in which time is exact, and returns the result and how long it
// took.
func runFake(ctx context.Context, cfg *Config, k *fakeKernel, incoming <-chan signals.Signal) (Result, time.Duration) {
	r := newRunner(cfg, &signals.Source{C: incoming})
	r.kernel = k
	k.post = r.post
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
	obey := func(k *fakeKernel, sig unix.Signal) { k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)}) }
	dieOfKill := func(k *fakeKernel, sig unix.Signal) {
		if sig == unix.SIGKILL {
			obey(k, sig)
		}
	}
	tests := []struct {
		name   string
		cfg    func(*Config)
		ctx    time.Duration // 0: no deadline
		kernel fakeKernel
		send   map[time.Duration]unix.Signal
		took   time.Duration
		status int
		got    []string
	}{
		{
			name: "the command ends by itself before its deadline",
			cfg:  func(c *Config) { c.Timeout = time.Hour },
			kernel: fakeKernel{onStart: func(k *fakeKernel) {
				time.Sleep(3 * time.Second)
				k.die(reap.Change{Code: reap.CodeExited, Status: 4})
			}},
			took: 3 * time.Second, status: 4,
		},
		{
			name:   "timeout",
			cfg:    func(c *Config) { c.Timeout = 30 * time.Second },
			kernel: fakeKernel{react: obey},
			took:   30 * time.Second, status: 124, got: []string{"SIGTERM@30s"},
		},
		{
			name:   "the context's deadline is the command's",
			ctx:    20 * time.Second,
			kernel: fakeKernel{react: obey},
			took:   20 * time.Second, status: 124, got: []string{"SIGTERM@20s"},
		},
		{
			name:   "the earlier of the two counts",
			cfg:    func(c *Config) { c.Timeout = 30 * time.Second },
			ctx:    20 * time.Second,
			kernel: fakeKernel{react: obey},
			took:   20 * time.Second, status: 124, got: []string{"SIGTERM@20s"},
		},
		{
			name:   "timeout, grace, kill",
			cfg:    func(c *Config) { c.Timeout = 30 * time.Second; c.Grace = 7 * time.Second },
			kernel: fakeKernel{react: dieOfKill},
			took:   37 * time.Second, status: 124, got: []string{"SIGTERM@30s", "SIGKILL@37s", "tree@37s"},
		},
		{
			name:   "timeout, grace, kill, give up",
			cfg:    func(c *Config) { c.Timeout = 30 * time.Second; c.GiveUp = 2 * time.Second },
			kernel: fakeKernel{},
			took:   37 * time.Second, status: 124, got: []string{"SIGTERM@30s", "SIGKILL@35s", "tree@35s", "survey@37s"},
		},
		{
			name:   "a requested stop has its own clock",
			cfg:    func(c *Config) { c.StopGrace = 4 * time.Second },
			kernel: fakeKernel{react: dieOfKill},
			send:   map[time.Duration]unix.Signal{time.Second: unix.SIGTERM},
			took:   5 * time.Second, status: 137, got: []string{"SIGTERM@1s", "SIGKILL@5s", "tree@5s"},
		},
		{
			name:   "a requested stop without a clock goes on until the deadline",
			cfg:    func(c *Config) { c.Timeout = 10 * time.Second },
			kernel: fakeKernel{react: dieOfKill},
			send:   map[time.Duration]unix.Signal{time.Second: unix.SIGTERM},
			took:   15 * time.Second, status: 124, got: []string{"SIGTERM@1s", "SIGTERM@10s", "SIGKILL@15s", "tree@15s"},
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
				k := tt.kernel
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
		k := &fakeKernel{zombie: true, onStart: func(k *fakeKernel) {
			time.Sleep(1001 * time.Millisecond) // the zombie is there at 1s, the reaper's word of it 1 ms later
			k.die(reap.Change{Code: reap.CodeExited, Status: 0})
		}}
		res, _ := runFake(t.Context(), testConfig(func(c *Config) { c.Timeout = time.Second }), k, nil)
		if res.Cause.Kind != KindExited || res.ExitStatus != 0 || len(k.got) != 0 {
			t.Errorf("cause %v, status %d, sent %v; want exited, 0, nothing", res.Cause.Kind, res.ExitStatus, k.got)
		}
	})
}

// Cancelling the context is a request to stop.
func TestRunnerCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		k := &fakeKernel{react: func(k *fakeKernel, sig unix.Signal) { k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)}) }}
		res, took := runFake(ctx, testConfig(nil), k, nil)
		if took != time.Second || res.ExitStatus != 143 || res.Cause.Kind != KindStopRequested {
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
		kind   Kind
	}{
		{name: "cancelled", cancel: true, status: 143, kind: KindStopRequested},
		{name: "deadline", cfg: func(c *Config) { c.Deadline = time.Now() }, status: 124, kind: KindDeadline},
		{name: "signal", sig: unix.SIGINT, status: 130, kind: KindStopRequested},
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
			k := &fakeKernel{onStart: func(*fakeKernel) { t.Error("the command was started") }}
			res, _ := runFake(ctx, testConfig(tt.cfg), k, incoming)
			if res.PID != 0 || res.ExitStatus != tt.status || res.Cause.Kind != tt.kind {
				t.Errorf("pid %d, status %d, cause %v; want 0, %d, %v", res.PID, res.ExitStatus, res.Cause.Kind, tt.status, tt.kind)
			}
		})
	}
}

// A parent that is gone before its death can be watched sends nothing any more, so the run goes on
// as if it had: nothing is started.
func TestRunnerParentIsGone(t *testing.T) {
	for sig, status := range map[unix.Signal]int{unix.SIGTERM: 143, unix.SIGKILL: 137} {
		k := &fakeKernel{orphaned: true, onStart: func(*fakeKernel) { t.Error("the command was started") }}
		res, _ := runFake(t.Context(), testConfig(func(c *Config) { c.ParentDeath = sig }), k, nil)
		if res.PID != 0 || res.ExitStatus != status {
			t.Errorf("%v: pid %d, status %d; want 0, %d", sig, res.PID, res.ExitStatus, status)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{orphaned: true, react: func(k *fakeKernel, sig unix.Signal) { k.die(reap.Change{Code: reap.CodeExited, Status: int(sig)}) }}
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
		k := &fakeKernel{react: func(k *fakeKernel, sig unix.Signal) { k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)}) }}
		res, _ := runFake(t.Context(), testConfig(nil), k, incoming)
		want := By{Signal: unix.SIGTERM, Sender: signals.Sender{Known: true, PID: 42, UID: 7, Comm: "sender"}}
		if res.Cause.By != want {
			t.Errorf("by %+v, want %+v", res.Cause.By, want)
		}
	})
}

// A panic in what handles an event is logged and counted, and the run goes on to its end.
func TestAPanicDoesNotEndTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{onStart: func(k *fakeKernel) {
			time.Sleep(time.Second)
			k.die(reap.Change{Code: reap.CodeExited, Status: 6})
		}}
		cfg := testConfig(nil)
		r := newRunner(cfg, &signals.Source{C: make(chan signals.Signal)})
		r.kernel = panickyKernel{k}
		k.post = r.post
		time.AfterFunc(time.Millisecond, func() { r.post(event{kind: evSignal, signal: signals.Signal{Number: unix.SIGUSR1}}) })
		res := r.run(t.Context())
		if res.ExitStatus != 6 || res.Counts.Unexpected != 1 {
			t.Errorf("status %d with %d unexpected events, want 6 and 1", res.ExitStatus, res.Counts.Unexpected)
		}
	})
}

type panickyKernel struct{ *fakeKernel }

func (panickyKernel) signal(Forward, signals.Signal) error { panic("on purpose") }
