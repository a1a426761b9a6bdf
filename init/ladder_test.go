package pid1

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
)

func mustParseLadder(s string) ending.Ladder {
	l, err := ending.ParseLadder(s, time.ParseDuration)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return l
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
		{
			name: "plain", cfg: Config{StopSignal: unix.SIGQUIT, Grace: 2, StopGrace: 3},
			ending: "QUIT@0s,KILL@2ns", requested: "KILL@3ns", stopSignal: unix.SIGQUIT,
		},
		{name: "at once", cfg: Config{Grace: ending.AtOnce}, ending: "KILL@0s", stopSignal: unix.SIGTERM},
		{
			name: "at once, with a snapshot", cfg: Config{Grace: ending.AtOnce, Snapshot: true},
			ending: "DUMP@0s,KILL@0s", stopSignal: unix.SIGTERM,
		},
		{
			name: "the signal is the kill", cfg: Config{StopSignal: unix.SIGKILL}, ending: "KILL@0s",
			stopSignal: unix.SIGKILL,
		},
		{
			name:  "general",
			cfg:   Config{Escalate: mustParseLadder("USR1@-2s,USR2@-1s,QUIT@0s,TERM@1s,KILL@3s"), Timeout: time.Minute, Snapshot: true},
			early: "USR1@-2s,USR2@-1s", ending: "DUMP@0s,QUIT@0s,TERM@1s,KILL@3s",
			requested: "TERM@1s,KILL@3s", stopSignal: unix.SIGQUIT,
		},
		{
			name:   "one snapshot is enough",
			cfg:    Config{Escalate: mustParseLadder("DUMP@0s,KILL@0s"), Snapshot: true},
			ending: "DUMP@0s,KILL@0s", stopSignal: unix.SIGKILL,
		},
		{
			name: "a stop at once", cfg: Config{StopGrace: ending.AtOnce}, ending: "TERM@0s,KILL@5s",
			requested: "KILL@1ns", stopSignal: unix.SIGTERM,
		},
		{
			name: "a stop without a clock", cfg: Config{StopGrace: ending.Never}, ending: "TERM@0s,KILL@5s",
			stopSignal: unix.SIGTERM,
		},
		{
			name: "no end", cfg: Config{Grace: ending.Never},
			why: "a command that ignores the stop signal would not end",
		},
		{name: "no length", cfg: Config{StopGrace: -3}, why: "must be a length, AtOnce or Never"},
		{name: "no time to give up in", cfg: Config{GiveUp: ending.AtOnce}, why: "must be at least 100ms"},
		{
			name: "with another", cfg: Config{Escalate: mustParseLadder("KILL@0s"), Grace: 1},
			why: "replaces Config.StopSignal, Config.Grace and Config.StopGrace",
		},
		{
			name: "before no deadline", cfg: Config{Escalate: mustParseLadder("USR1@-1s,KILL@0s")},
			why: "USR1@-1s is before a deadline, and there is none",
		},
		{
			name: "before the start",
			cfg:  Config{Escalate: mustParseLadder("USR1@-1s,KILL@0s"), Timeout: time.Second},
			why:  "USR1@-1s is before the start: the timeout is 1s",
		},
		{
			name: "to nobody",
			cfg:  Config{Escalate: mustParseLadder("USR1@-1s,KILL@0s"), Timeout: time.Minute, Pause: true},
			why:  "nobody to be sent a signal",
		},
		{
			name: "not checked by the parser", cfg: Config{Escalate: ending.Ladder{{Signal: unix.SIGTERM}}},
			why: "must end with KILL",
		},
		{
			name: "not a signal", cfg: Config{Escalate: ending.Ladder{{Signal: 99}, {Signal: unix.SIGKILL}}},
			why: "99 is not a signal",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := test.cfg
			if !cfg.Pause {
				cfg.Args = []string{"job"}
			}
			p, err := cfg.policy(nsutil.RoleSubreaper, false)
			if test.why != "" {
				if err == nil || !strings.Contains(err.Error(), test.why) {
					t.Errorf("got %v, want %q", err, test.why)
				}
				return
			}
			if err != nil || p.Early.String() != test.early || p.Ending.String() != test.ending ||
				p.Requested.String() != test.requested ||
				p.StopSignal != test.stopSignal {
				t.Errorf("got %v, %v, %v, %v, %v", p.Early, p.Ending, p.Requested, p.StopSignal, err)
			}
		})
	}
}

// The rungs come when they are due, on the command or on what it left, and a snapshot moves none
// but those that are due with it.
func TestRunnerClimbs(t *testing.T) {
	obeyTo := func(wanted unix.Signal) func(*fakeWorld, unix.Signal) {
		return func(k *fakeWorld, sig unix.Signal) {
			if sig == wanted || sig == unix.SIGKILL {
				k.die(reap.Change{Code: reap.CodeKilled, Status: int(sig)})
			}
		}
	}
	leave := func(k *fakeWorld, sig unix.Signal) { // ends, and leaves somebody who is deaf
		if sig == unix.SIGQUIT {
			k.post(machine.Event{Kind: machine.EvExited, Change: reap.Change{PID: testPID, Code: reap.CodeExited}})
			k.post(machine.Event{Kind: machine.EvRemaining})
		}
	}
	took := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	full := mustParseLadder("USR1@-4s,DUMP@-2s,DUMP@0s,QUIT@0s,TERM@1s,INT@3s,KILL@6s")
	tests := []struct {
		name   string
		cfg    func(*Config)
		kernel fakeWorld
		send   map[time.Duration]unix.Signal
		got    string
		status int
	}{
		{
			name: "to the end", kernel: fakeWorld{react: obeyTo(unix.SIGKILL), dumps: took(0)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@10s SIGTERM@11s SIGINT@13s SIGKILL@16s tree@16s",
		},
		{
			name:   "a slow snapshot",
			kernel: fakeWorld{react: obeyTo(unix.SIGTERM), dumps: took(400 * time.Millisecond)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@10.4s SIGTERM@11s",
		},
		{
			name: "a snapshot that does not come", kernel: fakeWorld{react: obeyTo(unix.SIGTERM)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@11s SIGTERM@11s",
		},
		{
			name: "the notice is enough", kernel: fakeWorld{react: obeyTo(unix.SIGUSR1), dumps: took(0)},
			status: 128 + 10,
			got:    "SIGUSR1@6s",
		},
		{
			name:   "what is left is on the ladder that the command was on",
			kernel: fakeWorld{react: leave, dumps: took(0)}, status: 124,
			got: "SIGUSR1@6s dump@8s dump@10s SIGQUIT@10s terminate@10s terminate@11s terminate@13s tree@16s " +
				"survey@21s",
		},
		{
			name:   "a stop takes the place of the rungs that are due at once",
			kernel: fakeWorld{react: obeyTo(unix.SIGINT), dumps: took(0)},
			send:   map[time.Duration]unix.Signal{time.Second: unix.SIGTERM}, status: 128 + 2,
			got: "SIGTERM@1s SIGTERM@2s SIGINT@4s",
		},
		{
			name:   "a deadline in a stop brings its kill forward",
			kernel: fakeWorld{react: obeyTo(unix.SIGKILL), dumps: took(0)},
			cfg: func(c *Config) {
				c.Escalate = mustParseLadder("DUMP@0s,TERM@0s,KILL@6s")
				c.Timeout = 4 * time.Second
			},
			send: map[time.Duration]unix.Signal{3 * time.Second: unix.SIGTERM}, status: 128 + 9,
			got: "SIGTERM@3s dump@4s SIGKILL@9s tree@9s",
		},
		{
			name:   "snapshots that are overdue",
			kernel: fakeWorld{react: obeyTo(unix.SIGKILL), dumps: took(400 * time.Millisecond)}, status: 124,
			cfg: func(c *Config) { c.Escalate = mustParseLadder("DUMP@0s,DUMP@100ms,DUMP@200ms,KILL@300ms") },
			got: "dump@10s SIGKILL@10.4s tree@10.4s",
		},
		{
			name:   "a command that is gone already, and everything is due at once",
			kernel: fakeWorld{zombie: true}, status: 137,
			cfg: func(c *Config) { c.Escalate = mustParseLadder("QUIT@0s,KILL@0s") },
			got: "SIGKILL@10s tree@10s survey@15s",
		},
		{
			name:   "a snapshot before a kill at once",
			kernel: fakeWorld{react: obeyTo(unix.SIGKILL), dumps: took(100 * time.Millisecond)},
			cfg:    func(c *Config) { c.Escalate, c.Grace, c.Snapshot = nil, ending.AtOnce, true }, status: 124,
			got: "dump@10s SIGKILL@10.1s tree@10.1s",
		},
		{
			name: "no snapshot of what a command leaves that ended by itself", kernel: fakeWorld{dumps: took(0), onStart: func(k *fakeWorld) {
				leave(k, unix.SIGQUIT)
				time.Sleep(100 * time.Millisecond)
				k.post(machine.Event{Kind: machine.EvEmpty})
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
