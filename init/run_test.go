package pid1

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

func sh(script string) Config { return Config{Args: []string{"sh", "-c", script}} }

// Run is used as a Go caller uses it, on real processes. It leaves no goroutine behind.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	tests := []struct {
		name   string
		cfg    Config
		status int
		kind   Kind
		check  func(*testing.T, Result)
	}{
		{name: "exit", cfg: sh("exit 7"), status: 7, kind: KindExited, check: func(t *testing.T, r Result) {
			if r.PID == 0 || r.Rusage.MaxRSS == 0 || r.Started.IsZero() || r.Ended.Before(r.Started) || len(r.Ladder) != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "signal", cfg: sh("kill -9 $$"), status: 137, kind: KindSignaled},
		{name: "orphans", cfg: sh("(:&) ; (:&) ; (:&) ; exit 0"), kind: KindExited, check: func(t *testing.T, r Result) {
			wantCount(t, "orphans", r.Counts.Orphans, 3)
		}},
		{
			name: "leftovers", cfg: sh("sleep 1000 & exit 3"), status: 3, kind: KindExited,
			check: func(t *testing.T, r Result) { wantCount(t, "terminated", r.Counts.LeftoversTerminated, 1) },
		},
		{
			name: "deaf leftovers", cfg: func() Config { c := sh("trap '' TERM; sleep 1000 & exit 3"); c.Grace = 50 * time.Millisecond; return c }(),
			status: 3, kind: KindExited,
			check: func(t *testing.T, r Result) { wantCount(t, "killed", r.Counts.LeftoversKilled, 1) },
		},
		{
			name: "timeout", cfg: func() Config { c := sh("exec sleep 1000"); c.Timeout = 50 * time.Millisecond; return c }(),
			status: 124, kind: KindDeadline,
			check: func(t *testing.T, r Result) {
				if len(r.Ladder) != 1 || r.Ladder[0].Step != "SIGTERM" || r.Ladder[0].Result != "sent" || r.Cause.Signal != unix.SIGTERM {
					t.Errorf("%+v", r)
				}
			},
		},
		{
			name: "wall clock deadline",
			cfg: func() Config {
				c := sh("exec sleep 1000")
				c.Deadline = time.Now().Add(50 * time.Millisecond)
				return c
			}(), status: 124, kind: KindDeadline,
		},
		{
			name: "timeout exit 0",
			cfg: func() Config {
				c := sh("exec sleep 1000")
				c.Timeout = 50 * time.Millisecond
				c.TimeoutExit = TimeoutExitZero
				return c
			}(), kind: KindDeadline,
		},
		{name: "not found", cfg: Config{Args: []string{"no-such-command"}}, status: 127, kind: KindStartFailed, check: func(t *testing.T, r Result) {
			if r.Cause.Step != StepLookup || !errors.Is(r.Cause.Err, unix.ENOENT) || r.PID != 0 {
				t.Errorf("%+v", r)
			}
		}},
		{name: "not executable", cfg: Config{Args: []string{"/etc/passwd"}}, status: 126, kind: KindStartFailed},
		{name: "environment and directory", cfg: Config{Args: []string{"sh", "-c", `test "$A$(pwd)" = b/`}, Env: []string{"A=b", "PATH=" + os.Getenv("PATH")}, Dir: "/"}, kind: KindExited},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := Run(t.Context(), tt.cfg)
			if err != nil || r.ExitStatus != tt.status || r.Cause.Kind != tt.kind {
				t.Fatalf("status %d, cause %+v, err %v; want %d and %v", r.ExitStatus, r.Cause, err, tt.status, tt.kind)
			}
			if r.GaveUp || len(r.Survivors) > 0 || r.Counts.Unexpected > 0 {
				t.Errorf("%+v", r)
			}
			if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG, nil); err != unix.ECHILD {
				t.Errorf("waitid: %v, want ECHILD: something is left", err)
			}
			if tt.check != nil {
				tt.check(t, r)
			}
		})
	}
}

func TestRunContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r, err := Run(ctx, sh("exec sleep 1000")); err != nil || r.ExitStatus != 124 || r.Cause.Kind != KindDeadline {
		t.Errorf("deadline: %+v, %v", r, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if r, err := Run(ctx, sh("exec sleep 1000")); err != nil || r.ExitStatus != 143 || r.Cause.Kind != KindStopRequested {
		t.Errorf("cancel: %+v, %v", r, err)
	}
}

func TestRunRefuses(t *testing.T) {
	for name, cfg := range map[string]Config{
		"Args":        {},
		"GiveUp":      {Args: []string{"true"}, GiveUp: time.Millisecond},
		"TimeoutExit": {Args: []string{"true"}, TimeoutExit: 256},
		"Timeout":     {Args: []string{"true"}, Timeout: -1},
		"StopSignal":  {Args: []string{"true"}, StopSignal: 65},
		"ParentDeath": {Args: []string{"true"}, ParentDeath: 65},
		"Leftovers":   {Args: []string{"true"}, Leftovers: 9},
		"Forward":     {Args: []string{"true"}, Forward: 9},
	} {
		var usage *UsageError
		if r, err := Run(t.Context(), cfg); !errors.As(err, &usage) || usage.Field != name || r.ExitStatus != StatusFailure {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	// A second one at the same time.
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = Run(ctx, sh("exec sleep 1000"))
	}()
	for !busy.Load() {
		time.Sleep(time.Millisecond)
	}
	if _, err := Run(t.Context(), sh("exit 0")); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
	cancel()
	<-done
}

// A log that nobody reads does not hold up the run, and what it lost is counted.
func TestRunWithAStalledLog(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	cfg := sh("exit 5")
	cfg.Log = &logrus.Logger{Out: stalled{release}, Level: logrus.DebugLevel, Formatter: &logrus.TextFormatter{}, Hooks: logrus.LevelHooks{}}
	r, err := Run(t.Context(), cfg)
	if err != nil || r.ExitStatus != 5 || r.Counts.LogDropped == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

type stalled struct{ release <-chan struct{} }

func (s stalled) Write(p []byte) (int, error) {
	<-s.release
	return len(p), nil
}

type panicky struct{}

func (panicky) Write([]byte) (int, error) { panic("on purpose") }

// A logger that panics is the caller's mistake, and not the end of an init.
func TestRunWithAPanickingLog(t *testing.T) {
	cfg := sh("exit 5")
	cfg.Log = &logrus.Logger{Out: panicky{}, Level: logrus.DebugLevel, Formatter: &logrus.TextFormatter{}, Hooks: logrus.LevelHooks{}}
	if r, err := Run(t.Context(), cfg); err != nil || r.ExitStatus != 5 || r.Counts.LogDropped == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// Signals that arrive while a run ends, and after it, used to meet resources that were
// closed already. One owner closes them after their last use; the race detector and the log watch.
func TestSignalsDuringTheEnd(t *testing.T) {
	source := signals.Listen() // outlives every run, as in the binary
	defer source.Close()
	source.Late()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Kill(unix.Getpid(), unix.SIGWINCH)
				_ = unix.Kill(unix.Getpid(), unix.SIGCONT)
			}
		}
	}()
	var log bytes.Buffer
	for range 100 {
		cfg := sh("exit 5")
		cfg.Source = source
		cfg.Log = &logrus.Logger{Out: &log, Level: logrus.InfoLevel, Formatter: &logrus.TextFormatter{}, Hooks: logrus.LevelHooks{}}
		r, err := Run(t.Context(), cfg)
		if err != nil || r.ExitStatus != 5 || r.Counts.Unexpected > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if text := log.String(); strings.Contains(text, "cannot pass") {
		t.Errorf("signals met something closed:\n%.2000s", text)
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		if err := os.WriteFile(dir+"/"+name, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir+"/a/tool", 0o755); err != nil { // a directory of that name is passed over
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/b", 0o755); err != nil {
		t.Fatal(err)
	}
	write("b/tool", 0o755)
	write("b/plain", 0o644)
	path := []string{"PATH=/no/such:" + dir + "/a:" + dir + "/b"}
	for _, tt := range []struct {
		name string
		env  []string
		want string
		err  error
	}{
		{"tool", path, dir + "/b/tool", nil},
		{"plain", path, "", unix.EACCES},
		{"none", path, "", unix.ENOENT},
		{"", path, "", unix.ENOENT},
		{"./none", path, "./none", nil},
		{"sh", nil, "/usr/bin/sh", nil},
		{"sh", []string{"PATH=/no/such", "PATH=/bin"}, "/bin/sh", nil},
	} {
		if got, err := lookPath(tt.name, tt.env); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("lookPath(%q, %v) = %q, %v; want %q, %v", tt.name, tt.env, got, err, tt.want, tt.err)
		}
	}
}

// A timeout fires after its time, once; with a timerfd and without.
func TestTimeout(t *testing.T) {
	for _, without := range []bool{false, true} {
		fired := make(chan time.Time, 2)
		fire := func() { fired <- time.Now() }
		create := func(d time.Duration) *alarm {
			if !without {
				return newTimeout(d, fire)
			}
			a := &alarm{fd: -1, fire: fire}
			a.arm(0, unix.Timespec{}, d)
			return a
		}
		begin := time.Now()
		a := create(50 * time.Millisecond)
		if at := <-fired; at.Sub(begin) < 50*time.Millisecond {
			t.Errorf("it fired after %v", at.Sub(begin))
		}
		if a.close() {
			t.Error("it is not over")
		}
		if !create(time.Hour).close() {
			t.Error("it was over")
		}
		select {
		case <-fired:
			t.Error("it fired again")
		default:
		}
	}
}

// The wall clock's timer fires at once for a time that is past, whatever that time is.
func TestWallTimer(t *testing.T) {
	for _, at := range []time.Time{time.Now(), time.Unix(0, 0), time.Unix(-1<<40, 0), time.Now().Add(10 * time.Millisecond)} {
		fired := make(chan struct{})
		w := newAlarm(at, func() { close(fired) })
		select {
		case <-fired:
		case <-time.After(20 * time.Second):
			t.Errorf("the timer for %v did not fire", at)
		}
		w.close()
	}
	w := newAlarm(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), func() { t.Error("fired early") })
	w.close()
}

// A parent that is gone when its death is to be watched: as if it had died a moment later, and
// nothing is started.
func TestRunWithoutItsParent(t *testing.T) {
	started := t.TempDir() + "/started"
	res, err := Run(t.Context(), Config{Args: []string{"touch", started}, ParentDeath: unix.SIGTERM, ParentPID: unix.Getppid() + 1})
	if err != nil || res.ExitStatus != 143 || res.PID != 0 || res.Cause.Kind != KindStopRequested {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("the command was started")
	}
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
}
