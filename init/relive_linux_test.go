//go:build amd64 || arm64

package pid1

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/keeper"
)

// A supervisor that takes the place of another one goes on where that was: nothing is done twice
// but a kill, nothing is left out, and the end does not move.
func TestRelive(t *testing.T) {
	var clock unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock); err != nil {
		t.Fatal(err)
	}
	ago := func(d time.Duration) int64 { return clock.Nano() - int64(d) }
	timeout := func(ladder string) func(*Config) {
		return func(c *Config) {
			c.Timeout = 10 * time.Second
			c.Escalate = mustParseLadder(ladder)
		}
	}
	for _, tt := range []struct {
		name   string
		cfg    func(*Config)
		facts  func(*keeper.Facts) // of a command that was started 20 s ago
		state  ending.State
		ladder string        // what the report says was done
		done   string        // what is done again
		killIn time.Duration // 0: it is not known, or over
	}{
		{
			name: "while it runs", cfg: timeout("TERM@0s,KILL@5s"),
			facts: func(*keeper.Facts) {}, state: ending.StateRunning,
		},
		{
			name: "the deadline", cfg: timeout("TERM@0s,KILL@15s"),
			facts: func(f *keeper.Facts) { f.DeadlineAt = ago(10 * time.Second) },
			state: ending.StateStopping, ladder: "SIGTERM", killIn: 5 * time.Second,
		},
		{
			name: "a rung", cfg: timeout("TERM@0s,QUIT@4s,KILL@15s"),
			facts: func(f *keeper.Facts) {
				f.DeadlineAt, f.Rungs[0], f.RungCount = ago(10*time.Second), ago(6*time.Second), 1
			},
			state: ending.StateStopping, ladder: "SIGTERM SIGQUIT", killIn: 5 * time.Second,
		},
		{
			name: "a rung that was noted a moment too early", cfg: timeout("TERM@0s,QUIT@4s,KILL@15s"),
			facts: func(f *keeper.Facts) {
				f.DeadlineAt, f.Rungs[0], f.RungCount = ago(10*time.Second), ago(6*time.Second+time.Millisecond), 1
			},
			state: ending.StateStopping, ladder: "SIGTERM SIGQUIT", killIn: 5 * time.Second,
		},
		{
			name: "a kill", cfg: timeout("TERM@0s,KILL@5s"),
			facts: func(f *keeper.Facts) {
				f.DeadlineAt, f.Rungs[0], f.RungCount = ago(10*time.Second), ago(5*time.Second), 1
				f.KilledAt = ago(5*time.Second) + 1
			},
			state: ending.StateKilling, ladder: "SIGTERM SIGKILL tree", done: "SIGKILL tree",
		},
		{
			name: "a snapshot", cfg: timeout("DUMP@0s,TERM@0s,KILL@15s"),
			facts: func(f *keeper.Facts) { f.DeadlineAt = ago(10 * time.Second) },
			state: ending.StateStopping, ladder: "SIGTERM", killIn: 5 * time.Second,
		},
		{
			name: "a rung before the deadline", cfg: func(c *Config) {
				c.Timeout, c.Escalate = time.Minute, mustParseLadder("USR1@-50s,USR2@-30s,KILL@0s")
			},
			facts: func(*keeper.Facts) {}, state: ending.StateRunning, ladder: "SIGUSR1",
		},
		{
			name: "a stop", cfg: func(c *Config) { c.StopGrace = 15 * time.Second },
			facts: func(f *keeper.Facts) {
				f.Stop, f.StopAt = keeper.Signal{Number: int32(unix.SIGHUP)}, ago(10*time.Second)
			},
			state: ending.StateStopping, killIn: 5 * time.Second,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &fakeWorld{}
			r := testRunner(testConfig(tt.cfg), w, nil)
			w.post = r.post
			facts := &keeper.Facts{Command: testPID, Pidfd: -1, Started: ago(20 * time.Second), Group: true}
			tt.facts(facts)
			r.relive(facts)
			var ladder, done []string
			for _, rung := range r.ladder {
				ladder = append(ladder, rung.Step)
			}
			for _, what := range w.got {
				step, _, _ := strings.Cut(what, "@")
				done = append(done, step)
			}
			if got := strings.Join(ladder, " "); got != tt.ladder {
				t.Errorf("the ladder is %q, want %q", got, tt.ladder)
			}
			if !slices.Equal(done, strings.Fields(tt.done)) {
				t.Errorf("done again: %q, want %q", done, tt.done)
			}
			if state := r.m.Outcome().State; state != tt.state {
				t.Errorf("state %v, want %v", state, tt.state)
			}
			at, known := r.m.KillAt()
			left := at - time.Since(r.epoch)
			ahead := known && left > 0
			if tt.killIn == 0 && ahead || tt.killIn > 0 && (!known || left > tt.killIn) {
				t.Errorf("the kill is %v ahead (%v), want %v", left, known, tt.killIn)
			}
			r.clocks.unwatch = func() bool { return true }
			r.clocks.stop()
		})
	}
}
