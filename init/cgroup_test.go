package pid1

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/nsutil"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil/cgroup"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// needCgroup skips a test where no cgroup can be made, and returns the directory in which they are.
func needCgroup(t *testing.T) string {
	t.Helper()
	own, err := cgroup.Find()
	if err == nil && own.Unified == "" {
		err = errors.New("no cgroup v2 that this process is in")
	}
	var c *cgroup.Cgroup
	if err == nil {
		c, err = cgroup.New(own.Unified)
	}
	if err == nil {
		err = c.Remove(time.Second)
	}
	if err != nil {
		if os.Getenv("FINITE_TEST_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skipf("missing: a cgroup of its own: %v", err)
	}
	return own.Unified
}

// ownLeaves lists the cgroups in dir that this process has made.
func ownLeaves(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "finite-"+strconv.Itoa(os.Getpid())+"-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// cgroupOf makes the cgroup that the command of a configuration is to have.
func cgroupOf(ctx context.Context, cfg Config) (leaf *cgroup.Cgroup, none, err error) {
	r := newRunner(cfg)
	if r.policy, err = cfg.policy(nsutil.RoleSubreaper, false); err != nil {
		return nil, nil, err
	}
	to := r.targets(record.Self{})
	command, none, err := r.command(ctx, &to)
	if command == nil {
		return nil, none, err
	}
	return command.Cgroup, none, err
}

func TestMakeLeaf(t *testing.T) {
	dir := needCgroup(t)
	ends, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, tt := range []struct {
		name string
		cfg  func(*Config)
		ctx  context.Context
		want bool
	}{
		{"no ending is foreseen", nil, context.Background(), false},
		{"a grace time is no ending", func(c *Config) { c.Grace = time.Second }, context.Background(), false},
		{"timeout", func(c *Config) { c.Timeout = time.Hour }, context.Background(), true},
		{"deadline", func(c *Config) { c.Deadline = time.Now() }, context.Background(), true},
		{"stop grace", func(c *Config) { c.StopGrace = time.Hour }, context.Background(), true},
		{"stop grace, off", func(c *Config) { c.StopGrace = ending.Never }, context.Background(), false},
		{"a context that can end", nil, ends, true},
		{"off", func(c *Config) { c.Timeout = time.Hour; c.Cgroup = ending.CgroupOff }, ends, false},
		{"required", func(c *Config) { c.Cgroup = ending.CgroupRequire }, context.Background(), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := openDescriptors(t)
			leaf, none, err := cgroupOf(tt.ctx, testConfig(tt.cfg))
			if err != nil || none != nil {
				t.Fatal(err, none)
			}
			if (leaf != nil) != tt.want {
				t.Fatalf("a cgroup: %v, want %v", leaf != nil, tt.want)
			}
			if tt.want {
				if made := ownLeaves(t, dir); !slices.Equal(made, []string{leaf.Path()}) {
					t.Errorf("there is %v, want %s", made, leaf.Path())
				}
				if err := leaf.Remove(0); err != nil {
					t.Error(err)
				}
			}
			if left := ownLeaves(t, dir); len(left) > 0 || openDescriptors(t) != before {
				t.Errorf("left: %v, and %d descriptors more", left, openDescriptors(t)-before)
			}
		})
	}
}

// Where descriptors are short, there is no cgroup, and nothing of one.
func TestMakeLeafWithFewDescriptors(t *testing.T) {
	dir := needCgroup(t)
	for _, mode := range []ending.CgroupMode{ending.CgroupAuto, ending.CgroupRequire} {
		made, none := 0, 0
		for more := range 16 {
			cfg := testConfig(func(c *Config) { c.Timeout = time.Hour; c.Cgroup = mode })
			before := openDescriptors(t)
			var leaf *cgroup.Cgroup
			var why, err error
			withDescriptors(t, more, func() { leaf, why, err = cgroupOf(context.Background(), cfg) })
			var usage *UsageError
			switch {
			case leaf != nil && err == nil && why == nil:
				made++
				if err := leaf.Remove(0); err != nil {
					t.Error(err)
				}
			case leaf == nil && mode == ending.CgroupAuto && err == nil && why != nil:
				none++
			case leaf == nil && mode == ending.CgroupRequire && errors.As(err, &usage) && usage.Field == "Cgroup":
				none++
			default:
				t.Errorf("%v, %d descriptors: leaf %v, error %v, %v", mode, more, leaf, err, why)
			}
			if left := ownLeaves(t, dir); len(left) > 0 || openDescriptors(t) != before {
				t.Errorf(
					"%v, %d descriptors: left: %v, and %d descriptors more",
					mode,
					more,
					left,
					openDescriptors(t)-before,
				)
			}
		}
		if made == 0 || none == 0 {
			t.Errorf("%v: made %d times, not made %d times: it was never the one or the other", mode, made, none)
		}
	}
}

// withDescriptors calls f while that many descriptors can be opened.
func withDescriptors(t *testing.T, more int, f func()) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	var fill []int // the gaps below the highest one
	defer func() {
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &was)
		for _, fd := range fill {
			unix.Close(fd)
		}
	}()
	highest := 0
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		n, _ := strconv.Atoi(e.Name())
		highest = max(highest, n)
	}
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if fill = append(fill, fd); fd > highest {
			break
		}
	}
	now := unix.Rlimit{Cur: uint64(fill[len(fill)-1] + 1 + more), Max: was.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &now); err != nil {
		t.Fatal(err)
	}
	f()
}

// Run puts the command into a cgroup of its own, and removes that.
func TestRunInItsOwnCgroup(t *testing.T) {
	dir := needCgroup(t)
	out := filepath.Join(t.TempDir(), "out")
	script := `grep ^0:: /proc/self/cgroup >"$0"; exit 3`
	for _, mode := range []ending.CgroupMode{ending.CgroupAuto, ending.CgroupRequire, ending.CgroupOff} {
		r, err := Run(
			t.Context(),
			Config{Args: []string{"sh", "-c", script, out}, Cgroup: mode, Timeout: time.Hour},
		)
		if err != nil || r.ExitStatus != 3 || slices.Contains(r.Without, "cgroup") {
			t.Errorf("%v: %+v, %v", mode, r, err)
		}
		text, err := os.ReadFile(out)
		if in := strings.Contains(string(text), "/finite-"+strconv.Itoa(os.Getpid())+"-"); err != nil ||
			in != (mode != ending.CgroupOff) {
			t.Errorf("%v: the command was in %q, %v", mode, text, err)
		}
		if left := ownLeaves(t, dir); len(left) > 0 {
			t.Errorf("%v: left: %v", mode, left)
		}
	}
	// A deadline, and a start that fails.
	r, err := Run(t.Context(), Config{
		Args: []string{
			"sh",
			"-c",
			`trap "" TERM; setsid sleep 1000 & while :; do sleep 1000; done`,
		}, Timeout: 50 * time.Millisecond, Grace: ending.AtOnce,
	})
	if err != nil || r.ExitStatus != 124 || r.GaveUp {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Run(t.Context(), Config{Args: []string{"no-such-command"}, Cgroup: ending.CgroupRequire})
	if err != nil || r.ExitStatus != 127 {
		t.Errorf("%+v, %v", r, err)
	}
	if left := ownLeaves(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// leafWorld is a world in which somebody is in the cgroup, and memory is short.
type leafWorld struct {
	*fakeWorld
	kills  []int // what each question is answered with
	ever   bool  // since the cgroup was made
	asked  int
	probes []bool // the same
	closed []bool // what Close was told
}

func (w *leafWorld) OOMKills(bool) (n int, ever bool) {
	w.asked++
	if len(w.kills) == 0 {
		return 0, w.ever
	}
	n = w.kills[0]
	w.kills = w.kills[1:]
	return n, w.ever
}

func (w *leafWorld) Empty() bool {
	if len(w.probes) == 0 {
		return true
	}
	is := w.probes[0]
	w.probes = w.probes[1:]
	return is
}

// Do lets the reaper see nobody when it looks again.
func (w *leafWorld) Do(a *machine.Action) error {
	if a.Kind == machine.ActLook {
		go w.post(machine.Event{Kind: machine.EvEmpty})
	}
	return w.fakeWorld.Do(a)
}

func (w *leafWorld) Close(nobodyLeft bool) error {
	w.closed = append(w.closed, nobodyLeft)
	return nil
}

func runLeaf(t *testing.T, cfg Config, hasCgroup bool, noCgroup error, w *leafWorld) (ending.Result, string) {
	t.Helper()
	var log bytes.Buffer
	cfg.Log = logrus.New()
	cfg.Log.SetOutput(&log)
	cfg.Log.SetLevel(logrus.DebugLevel)
	r := testRunner(cfg, w, make(chan signals.Signal))
	r.decide(machine.Setup{Role: nsutil.RoleSubreaper, HasCgroup: hasCgroup})
	_ = r.options(nsutil.RoleSubreaper, nil, noCgroup, &record.Targets{})
	w.post = r.post
	res := r.run(t.Context())
	return res, log.String()
}

// orphan is one that ended.
func orphan(code reap.Code, status int) machine.Event {
	ev := machine.Event{Kind: machine.EvReaped, Count: 1}
	if code == reap.CodeKilled && status == int(unix.SIGKILL) {
		ev.Killed = 1
	}
	return ev
}

func wantCount(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %d, want %d", what, got, want)
	}
}

// probeInterval is the machine's.
const probeInterval = 50 * time.Millisecond

// The kernel is asked for OOM kills when the command has ended, and when somebody was killed by
// SIGKILL, and not for everybody who ends.
func TestRunnerAsksForOOMKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &leafWorld{kills: []int{1, 0, 2}}
		k.fakeWorld = &fakeWorld{onStart: func(f *fakeWorld) {
			f.post(orphan(reap.CodeExited, 0))
			f.post(orphan(reap.CodeKilled, int(unix.SIGTERM)))
			f.post(orphan(reap.CodeKilled, int(unix.SIGKILL)))
			f.post(orphan(reap.CodeKilled, int(unix.SIGKILL)))
			f.die(reap.Change{Code: reap.CodeExited})
		}}
		res, log := runLeaf(t, testConfig(nil), false, nil, k)
		wantCount(t, "questions", k.asked, 3)
		wantCount(t, "OOM kills", res.Counts.OOMKills, 3)
		if res.ExitStatus != 0 || res.Cause.Kind != ending.KindExited || strings.Count(log, "out of memory") != 2 {
			t.Errorf("%+v\n%s", res, log)
		}
	})
}

// A command that was killed before anything was counted may have been killed for want of memory:
// that is said, unless finite has killed it.
func TestRunnerAsksTooLate(t *testing.T) {
	for timeout, said := range map[time.Duration]int{0: 1, time.Second: 0} {
		synctest.Test(t, func(t *testing.T) {
			k := &leafWorld{kills: []int{1}, ever: true}
			k.fakeWorld = &fakeWorld{onStart: func(f *fakeWorld) {
				time.Sleep(2 * timeout)
				f.die(reap.Change{Code: reap.CodeKilled, Status: int(unix.SIGKILL)})
			}}
			cfg := testConfig(func(c *Config) { c.Timeout, c.Grace = timeout, ending.AtOnce })
			res, log := runLeaf(t, cfg, false, nil, k)
			wantCount(t, "OOM kills", res.Counts.OOMKills, 0)
			if strings.Count(log, "since that was made") != said {
				t.Errorf("%v: %+v\n%s", timeout, res, log)
			}
		})
	}
}

// Who is in the cgroup without being a child is waited for, asked to end, and killed.
func TestRunnerWaitsForTheCgroup(t *testing.T) {
	for _, tt := range []struct {
		name   string
		cfg    func(*Config)
		probes []bool
		took   time.Duration
		got    []string
		gaveUp bool
		closed bool
	}{
		{"nobody", nil, nil, 0, nil, false, true},
		{
			"somebody for a while", nil,
			[]bool{false, false},
			2 * probeInterval,
			[]string{"terminate@0s", "thaw@50ms"},
			false, true,
		},
		{
			"killed", func(c *Config) { c.Grace = 75 * time.Millisecond },
			[]bool{false, false},
			2 * probeInterval,
			[]string{"terminate@0s", "thaw@50ms", "tree@75ms"},
			false, true,
		},
		{
			"for ever", func(c *Config) { c.Grace = time.Second; c.GiveUp = time.Second },
			slices.Repeat([]bool{false}, 1000), 2 * time.Second,
			[]string{"terminate@0s", "thaw@50ms", "tree@1s", "survey@2s"},
			true, false,
		},
		{
			"left alone", func(c *Config) { c.Leftovers = ending.LeftoversLeave },
			[]bool{false},
			0, nil,
			false, false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &leafWorld{probes: tt.probes}
				k.fakeWorld = &fakeWorld{
					onStart: func(f *fakeWorld) { f.die(reap.Change{Code: reap.CodeExited, Status: 4}) },
				}
				begin := time.Now()
				res, _ := runLeaf(t, testConfig(tt.cfg), true, nil, k)
				if took := time.Since(begin); took != tt.took || res.ExitStatus != 4 || res.GaveUp != tt.gaveUp {
					t.Errorf("took %v, want %v; %+v", took, tt.took, res)
				}
				if !slices.Equal(k.got, tt.got) || !slices.Equal(k.closed, []bool{tt.closed}) {
					t.Errorf("done: %v, want %v; nobody left: %v, want %v", k.got, tt.got, k.closed, tt.closed)
				}
			})
		})
	}
}

// Why there is no cgroup is said once, to who wants to know everything.
func TestRunnerSaysWhyThereIsNoCgroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &leafWorld{
			fakeWorld: &fakeWorld{onStart: func(f *fakeWorld) { f.die(reap.Change{Code: reap.CodeExited}) }},
		}
		_, log := runLeaf(t, testConfig(nil), false, errors.New("the moon is full"), k)
		if strings.Count(log, "the moon is full") != 1 ||
			strings.Count(log, "level=debug msg=\"no cgroup of its own") != 1 {
			t.Error(log)
		}
	})
}
