package pid1

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
)

func mustParseLadder(s string) Ladder {
	l, err := ParseLadder(s, time.ParseDuration)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return l
}

func TestParseLadder(t *testing.T) {
	got := mustParseLadder(" usr1@-60s, QUIT@0s,dump@0s,15@5s,RTMIN+1@6s,KILL@1m")
	want := Ladder{
		{-time.Minute, unix.SIGUSR1},
		{0, unix.SIGQUIT},
		{0, 0},
		{5 * time.Second, unix.SIGTERM},
		{6 * time.Second, 35},
		{time.Minute, unix.SIGKILL},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if text := got.String(); text != "USR1@-1m0s,QUIT@0s,DUMP@0s,TERM@5s,RTMIN+1@6s,KILL@1m0s" || !slices.Equal(mustParseLadder(text), got) {
		t.Errorf("got %q", text)
	}
	if text := got.from(0).announce(); text != "SIGQUIT, a snapshot, SIGTERM in 5s, SIGRTMIN+1 in 6s, and SIGKILL to everything in 1m0s" {
		t.Errorf("got %q", text)
	}
	for text, why := range map[string]string{
		"":                  "no time",
		"TERM":              `"TERM": no time`,
		"TERM@0s":           "must end with KILL",
		"TERM@0s,":          `"": no time`,
		"TERM@x,KILL@1s":    `"TERM@x": time: invalid duration`,
		"FOO@0s,KILL@1s":    `"FOO@0s": unknown signal`,
		"0@0s,KILL@1s":      `"0@0s"`,
		"STOP@0s,KILL@1s":   "SIGSTOP ends nothing",
		"KILL@0s,KILL@1s":   "nothing can come after KILL",
		"TERM@2s,KILL@1s":   "KILL@1s must not be before",
		"TERM@-2s,KILL@-1s": "KILL must not be before the deadline",
		strings.Repeat("TERM@0s,QUIT@0s,", maxRungs/2) + "KILL@0s": "at most 64 rungs",
	} {
		if l, err := ParseLadder(text, time.ParseDuration); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, %v; want %q", text, l, err, why)
		}
	}
}

func FuzzParseLadder(f *testing.F) {
	f.Add("USR1@-60s,QUIT@0s,TERM@5s,KILL@15s")
	f.Add("DUMP@0s,KILL@0s")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLadder(s, time.ParseDuration)
		if err != nil {
			return
		}
		again, err := ParseLadder(l.String(), time.ParseDuration)
		if err != nil || !slices.Equal(again, l) {
			t.Fatalf("%q is %v, and that is %v, %v", s, l, again, err)
		}
	})
}

// What the several ways to say how to end something come to.
func TestLadders(t *testing.T) {
	for _, test := range []struct {
		name                     string
		cfg                      Config
		early, ending, requested string
		why                      string // an error
		stopSignal               unix.Signal
	}{
		{name: "by default", ending: "TERM@0s,KILL@5s", stopSignal: unix.SIGTERM},
		{name: "plain", cfg: Config{StopSignal: unix.SIGQUIT, Grace: 2, StopGrace: 3}, ending: "QUIT@0s,KILL@2ns", requested: "KILL@3ns", stopSignal: unix.SIGQUIT},
		{name: "at once", cfg: Config{Grace: Off}, ending: "KILL@0s", stopSignal: unix.SIGTERM},
		{name: "at once, with a snapshot", cfg: Config{Grace: Off, Snapshot: true}, ending: "DUMP@0s,KILL@0s", stopSignal: unix.SIGTERM},
		{name: "the signal is the kill", cfg: Config{StopSignal: unix.SIGKILL}, ending: "KILL@0s", stopSignal: unix.SIGKILL},
		{
			name: "general", cfg: Config{Escalate: mustParseLadder("USR1@-2s,USR2@-1s,QUIT@0s,TERM@1s,KILL@3s"), Timeout: time.Minute, Snapshot: true},
			early: "USR1@-2s,USR2@-1s", ending: "DUMP@0s,QUIT@0s,TERM@1s,KILL@3s", requested: "TERM@1s,KILL@3s", stopSignal: unix.SIGQUIT,
		},
		{name: "one snapshot is enough", cfg: Config{Escalate: mustParseLadder("DUMP@0s,KILL@0s"), Snapshot: true}, ending: "DUMP@0s,KILL@0s", stopSignal: unix.SIGKILL},
		{name: "with another", cfg: Config{Escalate: mustParseLadder("KILL@0s"), Grace: 1}, why: "replaces --stop-signal, --grace and --stop-grace"},
		{name: "before no deadline", cfg: Config{Escalate: mustParseLadder("USR1@-1s,KILL@0s")}, why: "USR1@-1s is before a deadline, and there is none"},
		{name: "before the start", cfg: Config{Escalate: mustParseLadder("USR1@-1s,KILL@0s"), Timeout: time.Second}, why: "USR1@-1s is before the start: the timeout is 1s"},
		{name: "to nobody", cfg: Config{Escalate: mustParseLadder("USR1@-1s,KILL@0s"), Timeout: time.Minute, Pause: true}, why: "nobody to be sent a signal"},
		{name: "not checked by the parser", cfg: Config{Escalate: Ladder{{0, unix.SIGTERM}}}, why: "must end with KILL"},
		{name: "not a signal", cfg: Config{Escalate: Ladder{{0, 99}, {0, unix.SIGKILL}}}, why: "99 is not a signal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := test.cfg
			if !cfg.Pause {
				cfg.Args = []string{"job"}
			}
			err := cfg.setDefaults(nsutil.RoleSubreaper)
			if test.why != "" {
				if err == nil || !strings.Contains(err.Error(), test.why) {
					t.Errorf("got %v, want %q", err, test.why)
				}
				return
			}
			l := cfg.ladders
			if err != nil || l.early.String() != test.early || l.ending.String() != test.ending || l.requested.String() != test.requested || cfg.StopSignal != test.stopSignal {
				t.Errorf("got %v, %v, %v, %v, %v", l.early, l.ending, l.requested, cfg.StopSignal, err)
			}
		})
	}
}

// The rungs come when they are due, on the command or on what it left, and a snapshot moves none
// but those that are due with it.
func TestRunnerClimbs(t *testing.T) {
	obeyTo := func(wanted unix.Signal) func(*fakeKernel, unix.Signal) {
		return func(k *fakeKernel, sig unix.Signal) {
			if sig == wanted || sig == unix.SIGKILL {
				k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)})
			}
		}
	}
	leave := func(k *fakeKernel, sig unix.Signal) { // ends, and leaves somebody who is deaf
		if sig == unix.SIGQUIT {
			k.post(event{kind: evExited, change: reap.Change{PID: testPID, Code: reap.CodeExited}})
			k.post(event{kind: evRemaining})
		}
	}
	took := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	full := mustParseLadder("USR1@-4s,DUMP@-2s,DUMP@0s,QUIT@0s,TERM@1s,INT@3s,KILL@6s")
	tests := []struct {
		name   string
		cfg    func(*Config)
		kernel fakeKernel
		send   map[time.Duration]unix.Signal
		got    string
		status int
	}{
		{
			name: "to the end", kernel: fakeKernel{react: obeyTo(unix.SIGKILL), dumps: took(0)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@10s SIGTERM@11s SIGINT@13s SIGKILL@16s tree@16s",
		},
		{
			name: "a slow snapshot", kernel: fakeKernel{react: obeyTo(unix.SIGTERM), dumps: took(400 * time.Millisecond)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@10.4s SIGTERM@11s",
		},
		{
			name: "a snapshot that does not come", kernel: fakeKernel{react: obeyTo(unix.SIGTERM)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@11s SIGTERM@11s",
		},
		{
			name: "the notice is enough", kernel: fakeKernel{react: obeyTo(unix.SIGUSR1), dumps: took(0)}, status: 128 + 10,
			got: "SIGUSR1@6s",
		},
		{
			name: "what is left is on the ladder that the command was on", kernel: fakeKernel{react: leave, dumps: took(0)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@10s terminate@10s terminate@11s terminate@13s tree@16s survey@21s",
		},
		{
			name: "a stop takes the place of the rungs that are due at once", kernel: fakeKernel{react: obeyTo(unix.SIGINT), dumps: took(0)},
			send: map[time.Duration]unix.Signal{time.Second: unix.SIGTERM}, status: 128 + 2,
			got: "SIGTERM@1s SIGTERM@2s SIGINT@4s",
		},
		{
			name: "a deadline in a stop brings its kill forward", kernel: fakeKernel{react: obeyTo(unix.SIGKILL), dumps: took(0)},
			cfg:  func(c *Config) { c.Escalate = mustParseLadder("DUMP@0s,TERM@0s,KILL@6s"); c.Timeout = 4 * time.Second },
			send: map[time.Duration]unix.Signal{3 * time.Second: unix.SIGTERM}, status: 128 + 9,
			got: "SIGTERM@3s dump@4s SIGKILL@9s tree@9s",
		},
		{
			name: "snapshots that are overdue", kernel: fakeKernel{react: obeyTo(unix.SIGKILL), dumps: took(400 * time.Millisecond)}, status: 124,
			cfg: func(c *Config) { c.Escalate = mustParseLadder("DUMP@0s,DUMP@100ms,DUMP@200ms,KILL@300ms") },
			got: "dump@10s SIGKILL@10.4s tree@10.4s",
		},
		{
			name: "a command that is gone already, and everything is due at once", kernel: fakeKernel{zombie: true}, status: 137,
			cfg: func(c *Config) { c.Escalate = mustParseLadder("QUIT@0s,KILL@0s") },
			got: "SIGKILL@10s tree@10s survey@15s",
		},
		{
			name: "a snapshot before a kill at once", kernel: fakeKernel{react: obeyTo(unix.SIGKILL), dumps: took(100 * time.Millisecond)},
			cfg: func(c *Config) { c.Escalate, c.Grace, c.Snapshot = nil, Off, true }, status: 124,
			got: "dump@10s SIGKILL@10.1s tree@10.1s",
		},
		{
			name: "no snapshot of what a command leaves that ended by itself", kernel: fakeKernel{dumps: took(0), onStart: func(k *fakeKernel) {
				leave(k, unix.SIGQUIT)
				time.Sleep(100 * time.Millisecond)
				k.post(event{kind: evEmpty})
			}},
			got: "terminate@0s",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := test.kernel
				cfg := testConfig(func(c *Config) {
					c.Timeout, c.Escalate = 10*time.Second, full
					if test.cfg != nil {
						test.cfg(c)
					}
				})
				res, _ := runFake(t.Context(), cfg, &k, send(test.send))
				if got := strings.Join(k.got, " "); got != test.got || res.ExitStatus != test.status {
					t.Errorf("got  %q, status %d\nwant %q, status %d", got, res.ExitStatus, test.got, test.status)
				}
			})
		})
	}
}

// Another deadline does not begin again what waits for a snapshot alone.
func TestMachineTwoDeadlines(t *testing.T) {
	m := newMachine(testConfig(func(c *Config) { c.Escalate = mustParseLadder("DUMP@0s,KILL@0s") }), nsutil.RoleSubreaper)
	for i, s := range []step{
		{cloning, "", stateStarting},
		{started, "", stateRunning},
		{deadline, "dump; arm dump 1s", stateStopping},
		{deadline, "", stateStopping},
		{just(evDumped), "disarm dump; send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
	} {
		if got := said(m.handle(s.event)); got != s.want || m.state != s.state {
			t.Fatalf("step %d, %v: %q, %v; want %q, %v", i, s.event.kind, got, m.state, s.want, s.state)
		}
	}
}
