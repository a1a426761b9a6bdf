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

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
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

func TestMakeLeaf(t *testing.T) {
	dir := needCgroup(t)
	ending, cancel := context.WithCancel(context.Background())
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
		{"stop grace, off", func(c *Config) { c.StopGrace = Off }, context.Background(), false},
		{"a context that can end", nil, ending, true},
		{"off", func(c *Config) { c.Timeout = time.Hour; c.Cgroup = CgroupOff }, ending, false},
		{"required", func(c *Config) { c.Cgroup = CgroupRequire }, context.Background(), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := openDescriptors(t)
			cfg := testConfig(tt.cfg)
			if err := makeLeaf(tt.ctx, cfg); err != nil || cfg.noLeaf != nil {
				t.Fatal(err, cfg.noLeaf)
			}
			if (cfg.leaf != nil) != tt.want {
				t.Fatalf("a cgroup: %v, want %v", cfg.leaf != nil, tt.want)
			}
			if tt.want {
				if made := ownLeaves(t, dir); !slices.Equal(made, []string{cfg.leaf.Path()}) {
					t.Errorf("there is %v, want %s", made, cfg.leaf.Path())
				}
				if err := cfg.leaf.Remove(0); err != nil {
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
	for _, mode := range []CgroupMode{CgroupAuto, CgroupRequire} {
		made, none := 0, 0
		for more := range 16 {
			cfg := testConfig(func(c *Config) { c.Timeout = time.Hour; c.Cgroup = mode })
			before := openDescriptors(t)
			var err error
			withDescriptors(t, more, func() { err = makeLeaf(context.Background(), cfg) })
			var usage *UsageError
			switch {
			case cfg.leaf != nil && err == nil && cfg.noLeaf == nil:
				made++
				if err := cfg.leaf.Remove(0); err != nil {
					t.Error(err)
				}
			case cfg.leaf == nil && mode == CgroupAuto && err == nil && cfg.noLeaf != nil:
				none++
			case cfg.leaf == nil && mode == CgroupRequire && errors.As(err, &usage) && usage.Field == "Cgroup":
				none++
			default:
				t.Errorf("%v, %d descriptors: leaf %v, error %v, %v", mode, more, cfg.leaf, err, cfg.noLeaf)
			}
			if left := ownLeaves(t, dir); len(left) > 0 || openDescriptors(t) != before {
				t.Errorf("%v, %d descriptors: left: %v, and %d descriptors more", mode, more, left, openDescriptors(t)-before)
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
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(fill[len(fill)-1] + 1 + more), Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	f()
}

// Run puts the command into a cgroup of its own, and removes that.
func TestRunInItsOwnCgroup(t *testing.T) {
	dir := needCgroup(t)
	out := filepath.Join(t.TempDir(), "out")
	script := `grep ^0:: /proc/self/cgroup >"$0"; exit 3`
	for _, mode := range []CgroupMode{CgroupAuto, CgroupRequire, CgroupOff} {
		r, err := Run(t.Context(), Config{Args: []string{"sh", "-c", script, out}, Cgroup: mode, Timeout: time.Hour})
		if err != nil || r.ExitStatus != 3 || slices.Contains(r.Without, "cgroup") {
			t.Errorf("%v: %+v, %v", mode, r, err)
		}
		text, err := os.ReadFile(out)
		if in := strings.Contains(string(text), "/finite-"+strconv.Itoa(os.Getpid())+"-"); err != nil || in != (mode != CgroupOff) {
			t.Errorf("%v: the command was in %q, %v", mode, text, err)
		}
		if left := ownLeaves(t, dir); len(left) > 0 {
			t.Errorf("%v: left: %v", mode, left)
		}
	}
	// A deadline, and a start that fails.
	r, err := Run(t.Context(), Config{
		Args: []string{"sh", "-c", `trap "" TERM; setsid sleep 1000 & while :; do sleep 1000; done`}, Timeout: 50 * time.Millisecond, Grace: Off,
	})
	if err != nil || r.ExitStatus != 124 || r.GaveUp {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = Run(t.Context(), Config{Args: []string{"no-such-command"}, Cgroup: CgroupRequire})
	if err != nil || r.ExitStatus != 127 {
		t.Errorf("%+v, %v", r, err)
	}
	if left := ownLeaves(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// leafConfig is that of a command with a cgroup of its own, of which the machine only knows that it
// is there.
func leafConfig(change func(*Config)) *Config {
	cfg := testConfig(change)
	cfg.leaf = &cgroup.Cgroup{}
	return cfg
}

func namespace(empty bool) event { return event{kind: evNamespace, empty: empty} }

// ECHILD is the end only if nobody is in the cgroup either.
func TestMachineAsksTheCgroup(t *testing.T) {
	begin := []step{{cloning, "", stateStarting}, {started, "", stateRunning}}
	for _, tt := range []struct {
		name  string
		cfg   *Config
		steps []step
	}{
		{"no cgroup", testConfig(nil), []step{
			{exit(0), "arm settle 1s", stateLeftovers},
			{empty, "end", stateEnded},
		}},
		{"nobody", leafConfig(nil), []step{
			{exit(0), "arm settle 1s", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(true), "end", stateEnded},
		}},
		{"somebody, who ends when asked", leafConfig(nil), []step{
			{exit(0), "arm settle 1s", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(false), "disarm settle; terminate SIGTERM; arm grace 5s; arm thaw 50ms; arm probe 50ms", stateLeftovers},
			{timer(timerProbe), "look", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(true), "end", stateEnded},
		}},
		{"somebody deaf", leafConfig(nil), []step{
			{exit(0), "arm settle 1s", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(false), "disarm settle; terminate SIGTERM; arm grace 5s; arm thaw 50ms; arm probe 50ms", stateLeftovers},
			{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
			{timer(timerProbe), "look", stateKilling},
			{empty, "probe", stateKilling},
			{namespace(false), "arm probe 50ms", stateKilling},
			{timer(timerProbe), "look", stateKilling},
			{empty, "probe", stateKilling},
			{namespace(true), "end", stateEnded},
		}},
		{"somebody unkillable", leafConfig(func(c *Config) { c.Leftovers = LeftoversKill }), []step{
			{exit(0), "arm settle 1s", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(false), "disarm settle; kill-tree; arm give-up 5s; arm probe 50ms", stateKilling},
			{timer(timerGiveUp), "survey; arm survey 1s", stateSurvey},
			{timer(timerProbe), "look", stateSurvey},
			{empty, "", stateSurvey},
			{namespace(true), "", stateSurvey},
			{event{kind: evSurvivors}, "end", stateEnded},
		}},
		{"somebody is left alone", leafConfig(func(c *Config) { c.Leftovers = LeftoversLeave }), []step{
			{exit(0), "arm settle 1s", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(false), "disarm settle; end", stateEnded},
		}},
		{"somebody is waited for", leafConfig(func(c *Config) { c.Leftovers = LeftoversWait }), []step{
			{exit(0), "arm settle 1s", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(false), "disarm settle; arm probe 50ms", stateLeftovers},
			{timer(timerProbe), "look", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(false), "arm probe 50ms", stateLeftovers},
			{sig(unix.SIGTERM), "terminate SIGTERM; arm grace 5s; arm thaw 50ms", stateLeftovers},
			{timer(timerProbe), "look", stateLeftovers},
			{empty, "probe", stateLeftovers},
			{namespace(true), "end", stateEnded},
		}},
		{"a start that fails asks nobody", leafConfig(nil), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(tt.cfg, nsutil.RoleSubreaper)
			steps := slices.Concat(begin, tt.steps)
			if tt.steps == nil {
				steps = []step{{cloning, "", stateStarting}, {event{kind: evStartFailed, step: StepExec, err: unix.EACCES}, "end", stateEnded}}
			}
			for i, s := range steps {
				if got := said(m.handle(s.event)); got != s.want || m.state != s.state {
					t.Fatalf("step %d, %v: %q, %v; want %q, %v", i, s.event.kind, got, m.state, s.want, s.state)
				}
			}
			if m.counts.Unexpected > 0 {
				t.Errorf("%d unexpected events", m.counts.Unexpected)
			}
		})
	}
}

// What the kernel killed for want of memory is counted, and said once each time it becomes more.
func TestMachineCountsOOM(t *testing.T) {
	m := newMachine(testConfig(nil), nsutil.RoleSubreaper)
	var notes []string
	for _, ev := range []event{cloning, started, {kind: evOOM, count: 2}, orphan(reap.CodeKilled, 9), exit(0), {kind: evOOM, count: 1}, empty} {
		for _, a := range m.handle(ev) {
			if a.kind == actNote && a.level == levelWarn {
				notes = append(notes, a.why)
			}
		}
	}
	wantCount(t, "OOM kills", m.counts.OOMKills, 3)
	wantCount(t, "unexpected", m.counts.Unexpected, 0)
	if len(notes) != 2 || !strings.HasPrefix(notes[0], "out of memory: the kernel killed 2 ") || !strings.HasPrefix(notes[1], "out of memory: the kernel killed 1 ") {
		t.Errorf("notes: %q", notes)
	}
	if m.cause.Kind != KindExited || m.state != stateEnded {
		t.Errorf("cause %+v, state %v", m.cause, m.state)
	}
}

// leafKernel is a world in which somebody is in the cgroup, and memory is short.
type leafKernel struct {
	*fakeKernel
	kills  []int // what each question is answered with
	asked  int
	probes []bool // the same
	closed []bool // what close was told
}

func (k *leafKernel) oomKills() int {
	k.asked++
	if len(k.kills) == 0 {
		return 0
	}
	n := k.kills[0]
	k.kills = k.kills[1:]
	return n
}

func (k *leafKernel) empty() bool {
	if len(k.probes) == 0 {
		return true
	}
	is := k.probes[0]
	k.probes = k.probes[1:]
	return is
}

// look is what the reaper says when it looks again.
func (k *leafKernel) look() { go k.post(event{kind: evEmpty}) }

func (k *leafKernel) close(nobodyLeft bool) error {
	k.closed = append(k.closed, nobodyLeft)
	return nil
}

func runLeaf(t *testing.T, cfg *Config, k *leafKernel) (Result, string) {
	t.Helper()
	var log bytes.Buffer
	cfg.Log = logrus.New()
	cfg.Log.SetOutput(&log)
	cfg.Log.SetLevel(logrus.DebugLevel)
	r := newRunner(cfg, &signals.Source{C: make(chan signals.Signal)})
	r.kernel = k
	k.post = r.post
	res := r.run(t.Context())
	return res, log.String()
}

// The kernel is asked for OOM kills when the command has ended, and when somebody was killed by
// SIGKILL, and not for everybody who ends.
func TestRunnerAsksForOOMKills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &leafKernel{kills: []int{1, 0, 2}}
		k.fakeKernel = &fakeKernel{onStart: func(f *fakeKernel) {
			f.post(orphan(reap.CodeExited, 0))
			f.post(orphan(reap.CodeKilled, int(unix.SIGTERM)))
			f.post(orphan(reap.CodeKilled, int(unix.SIGKILL)))
			f.post(orphan(reap.CodeKilled, int(unix.SIGKILL)))
			f.die(reap.Change{Code: reap.CodeExited})
		}}
		res, log := runLeaf(t, testConfig(nil), k)
		wantCount(t, "questions", k.asked, 3)
		wantCount(t, "OOM kills", res.Counts.OOMKills, 3)
		if res.ExitStatus != 0 || res.Cause.Kind != KindExited || strings.Count(log, "out of memory") != 2 {
			t.Errorf("%+v\n%s", res, log)
		}
	})
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
		{"somebody for a while", nil, []bool{false, false}, 2 * probeInterval, []string{"terminate@0s", "thaw@50ms"}, false, true},
		{"killed", func(c *Config) { c.Grace = 75 * time.Millisecond }, []bool{false, false}, 2 * probeInterval, []string{"terminate@0s", "thaw@50ms", "tree@75ms"}, false, true},
		{
			"for ever", func(c *Config) { c.Grace = time.Second; c.GiveUp = time.Second }, slices.Repeat([]bool{false}, 1000), 2 * time.Second,
			[]string{"terminate@0s", "thaw@50ms", "tree@1s", "survey@2s"},
			true, false,
		},
		{"left alone", func(c *Config) { c.Leftovers = LeftoversLeave }, []bool{false}, 0, nil, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &leafKernel{probes: tt.probes}
				k.fakeKernel = &fakeKernel{onStart: func(f *fakeKernel) { f.die(reap.Change{Code: reap.CodeExited, Status: 4}) }}
				begin := time.Now()
				res, _ := runLeaf(t, leafConfig(tt.cfg), k)
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
		cfg := testConfig(nil)
		cfg.noLeaf = errors.New("the moon is full")
		k := &leafKernel{fakeKernel: &fakeKernel{onStart: func(f *fakeKernel) { f.die(reap.Change{Code: reap.CodeExited}) }}}
		_, log := runLeaf(t, cfg, k)
		if strings.Count(log, "the moon is full") != 1 || strings.Count(log, "level=debug msg=\"no cgroup of its own") != 1 {
			t.Error(log)
		}
	})
}
