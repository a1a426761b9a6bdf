package pid1

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"

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
		kind   ending.Kind
		check  func(*testing.T, ending.Result)
	}{
		{
			name:   "exit",
			cfg:    sh("exit 7"),
			status: 7,
			kind:   ending.KindExited,
			check: func(t *testing.T, r ending.Result) {
				if r.PID == 0 || r.Rusage.MaxRSS == 0 || r.Started.IsZero() || r.Ended.Before(r.Started) ||
					len(r.Ladder) != 0 {
					t.Errorf("%+v", r)
				}
			},
		},
		{name: "signal", cfg: sh("kill -9 $$"), status: 137, kind: ending.KindSignaled},
		{
			name: "orphans",
			cfg:  sh("(:&) ; (:&) ; (:&) ; exit 0"),
			kind: ending.KindExited,
			check: func(t *testing.T, r ending.Result) {
				wantCount(t, "orphans", r.Counts.Orphans, 3)
			},
		},
		{
			name: "leftovers", cfg: sh("sleep 1000 & exit 3"), status: 3, kind: ending.KindExited,
			check: func(t *testing.T, r ending.Result) { wantCount(t, "terminated", r.Counts.LeftoversTerminated, 1) },
		},
		{
			name: "deaf leftovers",
			cfg: func() Config {
				c := sh("trap '' TERM; sleep 1000 & exit 3")
				c.Grace = 50 * time.Millisecond
				return c
			}(),
			status: 3, kind: ending.KindExited,
			check: func(t *testing.T, r ending.Result) { wantCount(t, "killed", r.Counts.LeftoversKilled, 1) },
		},
		{
			name:   "timeout",
			cfg:    func() Config { c := sh("exec sleep 1000"); c.Timeout = 50 * time.Millisecond; return c }(),
			status: 124, kind: ending.KindDeadline,
			check: func(t *testing.T, r ending.Result) {
				if len(r.Ladder) != 1 || r.Ladder[0].Step != "SIGTERM" || r.Ladder[0].Result != "sent" ||
					r.Cause.Signal != unix.SIGTERM {
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
			}(), status: 124, kind: ending.KindDeadline,
		},
		{
			name: "timeout exit 0",
			cfg: func() Config {
				c := sh("exec sleep 1000")
				c.Timeout = 50 * time.Millisecond
				c.TimeoutExit = TimeoutExitZero
				return c
			}(), kind: ending.KindDeadline,
		},
		{
			name:   "not found",
			cfg:    Config{Args: []string{"no-such-command"}},
			status: 127,
			kind:   ending.KindStartFailed,
			check: func(t *testing.T, r ending.Result) {
				if r.Cause.Step != ending.StepLookup || !errors.Is(r.Cause.Err, unix.ENOENT) || r.PID != 0 {
					t.Errorf("%+v", r)
				}
			},
		},
		{
			name:   "not executable",
			cfg:    Config{Args: []string{"/etc/passwd"}},
			status: 126,
			kind:   ending.KindStartFailed,
		},
		{
			name: "environment and directory",
			cfg: Config{
				Args: []string{"sh", "-c", `test "$A$(pwd)" = b/`},
				Env:  []string{"A=b", "PATH=" + os.Getenv("PATH")},
				Dir:  "/",
			},
			kind: ending.KindExited,
		},
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
	if r, err := Run(ctx, sh("exec sleep 1000")); err != nil || r.ExitStatus != 124 ||
		r.Cause.Kind != ending.KindDeadline {
		t.Errorf("deadline: %+v, %v", r, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if r, err := Run(ctx, sh("exec sleep 1000")); err != nil || r.ExitStatus != 143 ||
		r.Cause.Kind != ending.KindStopRequested {
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
		if r, err := Run(t.Context(), cfg); !errors.As(err, &usage) || usage.Field != name ||
			r.ExitStatus != ending.StatusFailure {
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
	cfg.Log = &logrus.Logger{
		Out:       stalled{release},
		Level:     logrus.DebugLevel,
		Formatter: &logrus.TextFormatter{},
		Hooks:     logrus.LevelHooks{},
	}
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
	cfg.Log = &logrus.Logger{
		Out:       panicky{},
		Level:     logrus.DebugLevel,
		Formatter: &logrus.TextFormatter{},
		Hooks:     logrus.LevelHooks{},
	}
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
		cfg.Log = &logrus.Logger{
			Out:       &log,
			Level:     logrus.InfoLevel,
			Formatter: &logrus.TextFormatter{},
			Hooks:     logrus.LevelHooks{},
		}
		r, err := Run(t.Context(), cfg)
		if err != nil || r.ExitStatus != 5 || r.Counts.Unexpected > 0 {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	if text := log.String(); strings.Contains(text, "cannot pass") {
		t.Errorf("signals met something closed:\n%.2000s", text)
	}
}

// A parent that is gone when its death is to be watched: as if it had died a moment later, and
// nothing is started.
func TestRunWithoutItsParent(t *testing.T) {
	started := t.TempDir() + "/started"
	res, err := Run(
		t.Context(),
		Config{Args: []string{"touch", started}, ParentDeath: unix.SIGTERM, ParentPID: unix.Getppid() + 1},
	)
	if err != nil || res.ExitStatus != 143 || res.PID != 0 || res.Cause.Kind != ending.KindStopRequested {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := os.Stat(started); err == nil {
		t.Error("the command was started")
	}
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
}
