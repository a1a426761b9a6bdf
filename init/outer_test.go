package pid1

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

func TestNeedsInner(t *testing.T) {
	for name, tt := range map[string]struct {
		cfg  Config
		want bool
	}{
		"nothing":         {Config{}, false},
		"pid":             {Config{Unshare: nsutil.PIDNamespace}, true},
		"pid and mount":   {Config{Unshare: nsutil.PIDNamespace | nsutil.MountNamespace}, true},
		"others":          {Config{Unshare: nsutil.UserNamespace | nsutil.NetworkNamespace | nsutil.MountNamespace}, false},
		"joined":          {Config{Join: []string{"1"}}, true},
		"joined and made": {Config{Join: []string{"1:net"}, Unshare: nsutil.UTSNamespace}, true},
	} {
		if got := tt.cfg.NeedsInner(); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// The clocks of the outer one are those of the inner one, and all the time that the inner one may take besides, and a second.
func TestOuterClocks(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	deadline := time.Date(2026, 1, 31, 18, 30, 0, 0, time.UTC)
	var rules signals.Rewrite
	if err := rules.ParseRule("TERM:INT"); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		cfg                Config
		timeout, stopGrace time.Duration
		deadline           time.Time
	}{
		"none":                     {cfg: Config{}},
		"timeout, defaults":        {cfg: Config{Timeout: 30 * s}, timeout: 41 * s},
		"timeout, own":             {cfg: Config{Timeout: 30 * s, Grace: 7 * s, GiveUp: 100 * ms}, timeout: 38*s + 100*ms},
		"timeout, no grace":        {cfg: Config{Timeout: 30 * s, Grace: Off, GiveUp: 2 * s}, timeout: 33 * s},
		"any grace below 0 is off": {cfg: Config{Timeout: 30 * s, Grace: -7 * s, GiveUp: 2 * s}, timeout: 33 * s},
		"timeout, no give-up":      {cfg: Config{Timeout: 30 * s, StopGrace: s, Deadline: deadline, GiveUp: Off}},
		"timeout off":              {cfg: Config{Timeout: Off}},
		"deadline":                 {cfg: Config{Deadline: deadline, Grace: 3 * s, GiveUp: 4 * s}, deadline: deadline.Add(8 * s)},
		"stop grace":               {cfg: Config{StopGrace: 20 * s, GiveUp: 2 * s}, stopGrace: 23 * s},
		"stop grace, other grace":  {cfg: Config{StopGrace: 20 * s, Grace: 7 * s, GiveUp: 2 * s}, stopGrace: 23 * s},
		"stop grace at once":       {cfg: Config{StopGrace: 1, Grace: Off}, stopGrace: 6*s + 1},
		"stop grace and delay":     {cfg: Config{StopGrace: 20 * s, StopDelay: 10 * s, GiveUp: 2 * s}, stopGrace: 33 * s},
		"stop grace off":           {cfg: Config{StopGrace: Off, StopDelay: 10 * s}},
		"stop grace with rules":    {cfg: Config{StopGrace: 20 * s, Rewrite: rules}},
		"all": {
			cfg:     Config{Timeout: s, Deadline: deadline, StopGrace: 2 * s, Grace: 3 * s, GiveUp: 4 * s},
			timeout: 9 * s, stopGrace: 7 * s, deadline: deadline.Add(8 * s),
		},
		"as long as can be":     {cfg: Config{Timeout: math.MaxInt64}, timeout: math.MaxInt64},
		"nearly so":             {cfg: Config{Timeout: math.MaxInt64 - s}, timeout: math.MaxInt64 - s},
		"so that it just fits":  {cfg: Config{Timeout: math.MaxInt64 - 11*s}, timeout: math.MaxInt64},
		"with an endless grace": {cfg: Config{Timeout: 30 * s, Grace: math.MaxInt64}, timeout: 30 * s},
	} {
		got := tt.cfg.Outer(nil, nil)
		if name == "with an endless grace" { // how long is of no matter: at least that long
			if got.Timeout < tt.timeout {
				t.Errorf("%s: timeout %v", name, got.Timeout)
			}
			continue
		}
		if got.Timeout != tt.timeout || got.StopGrace != tt.stopGrace || !got.Deadline.Equal(tt.deadline) {
			t.Errorf("%s: %v, %v, %v; want %v, %v, %v", name, got.Timeout, got.Deadline, got.StopGrace, tt.timeout, tt.deadline, tt.stopGrace)
		}
		if got.Grace != Off {
			t.Errorf("%s: grace %v, want none: a backstop kills at once", name, got.Grace)
		}
	}
}

// The outer one makes the box, and leaves everything that concerns the command to the inner one.
func TestOuterConfig(t *testing.T) {
	source, log := signals.Listen(), logrus.New()
	defer source.Close()
	inner := Config{
		Args: []string{"command"}, Env: []string{"A=1"}, Dir: "/tmp", StopSignal: unix.SIGINT, Leftovers: LeftoversWait, Forward: ForwardAll,
		TimeoutExit: 9, PreserveStatus: true, Expect: []int{3}, ParentDeath: unix.SIGHUP, ParentPID: 77, Source: source, Log: log,
		Unshare: nsutil.PIDNamespace | nsutil.UTSNamespace, Join: []string{"5:net"}, Hostname: "box", MapRoot: true, Cgroup: CgroupRequire, GiveUp: time.Minute,
	}
	got := inner.Outer([]string{"finite", "--", "command"}, []string{"B=2"})
	want := Config{
		Args: []string{"finite", "--", "command"}, Env: []string{"B=2"}, Self: true, Unshare: inner.Unshare, Join: inner.Join, Hostname: "box", MapRoot: true,
		Grace: Off, GiveUp: time.Minute, TimeoutExit: 9, Cgroup: CgroupRequire, ParentDeath: unix.SIGHUP, ParentPID: 77, Source: source, Log: log,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestBeInner(t *testing.T) {
	for _, bad := range []string{
		"", "garbage", "-1", "0x1", "10000000000000000", "0", "0:", "0:x", "0:-1", "0:0", "0:2", ":99", "0:99:", "0:99:x", "0:99:-1", "0:99:99999", "0:99:98:97",
	} {
		c := Config{Inner: bad}
		_, _, err := c.beInner(t.Context())
		var usage *UsageError
		if !errors.As(err, &usage) || usage.Field != "Inner" || usage.Value != bad {
			t.Errorf("%q: %v, want a UsageError", bad, err)
		}
	}
	c := Config{Inner: "8000000000000001:99"}
	ctx, release, err := c.beInner(t.Context())
	if err != nil || ctx != t.Context() || c.inherited.Mask != signals.SetOf(1, 64) || c.stops != 99 {
		t.Fatalf("%v, mask %x, descriptor %d", err, c.inherited.Mask, c.stops)
	}
	release()
}

// The context ends with the process that the pidfd is of, and not before.
func TestBeInnerEndsWithTheOuter(t *testing.T) {
	outer := exec.Command("cat")
	stdin, err := outer.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := outer.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(outer.Process.Pid, 0)
	if err != nil {
		t.Skip(err)
	}
	if _, err := unix.FcntlInt(uintptr(pidfd), unix.F_SETFD, 0); err != nil { // as it is inherited
		t.Fatal(err)
	}
	c := Config{Inner: "0:99:" + strconv.Itoa(pidfd)}
	ctx, release, err := c.beInner(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if flags, err := unix.FcntlInt(uintptr(pidfd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the command would inherit the pidfd: %#x, %v", flags, err)
	}
	if ctx.Err() != nil {
		t.Errorf("ended before: %v", context.Cause(ctx))
	}
	stdin.Close()
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
		t.Fatal("the end was not seen")
	}
	if cause := context.Cause(ctx); !errors.Is(cause, errOuterGone) {
		t.Errorf("cause: %v", cause)
	}
	_ = outer.Wait()
}

// Released, it watches nobody any more, and says nothing.
func TestBeInnerIsReleased(t *testing.T) {
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Skip(err)
	}
	c := Config{Inner: "0:99:" + strconv.Itoa(pidfd)}
	ctx, release, err := c.beInner(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	release()
	if cause := context.Cause(ctx); errors.Is(cause, errOuterGone) {
		t.Errorf("cause: %v", cause)
	}
}
