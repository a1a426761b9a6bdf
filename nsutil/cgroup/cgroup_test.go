package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// long is for what must come, and comes at once.
const long = 10 * time.Second

// base makes a cgroup for one test, and clears away whatever is in it in the end.
func base(t testing.TB) string {
	t.Helper()
	own, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if own.Unified == "" {
		t.Skip("missing: a cgroup2 mount that shows the own cgroup")
	}
	dir, err := os.MkdirTemp(own.Unified, "test-")
	if err != nil {
		t.Skipf("missing: a cgroup2 that may be written to: %v", err)
	}
	t.Cleanup(func() { clearAway(t, dir) })
	return dir
}

// clearAway kills and removes a cgroup and all below it, by other means than those that are tested.
func clearAway(t testing.TB, dir string) {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0)
	for begin := time.Now(); time.Since(begin) < long; {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs)
		for _, d := range dirs {
			_ = unix.Rmdir(d)
		}
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			return
		}
	}
	t.Errorf("%s is left", dir)
}

func newCgroup(t testing.TB, parent string) *Cgroup {
	t.Helper()
	c, err := New(parent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// sleeper starts a process that sleeps, in a cgroup.
func sleeper(t testing.TB, dir int) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: dir}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func sleeperIn(t testing.TB, path string) *exec.Cmd {
	t.Helper()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	return sleeper(t, int(dir.Fd()))
}

func mkdirs(t testing.TB, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestCgroupKill(t *testing.T) {
	c := newCgroup(t, base(t))
	if is, err := c.Populated(); is || err != nil {
		t.Errorf("Populated of a new one: %v, %v", is, err)
	}
	sub := c.Path() + "/a/b/c"
	mkdirs(t, sub)
	first, second := sleeper(t, c.FD()), sleeperIn(t, sub)

	want := []int{7, first.Process.Pid, second.Process.Pid}
	if got, err := c.PIDs([]int{7}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("PIDs: %v, %v, want %v", got, err, want)
	}
	if is, err := c.Populated(); !is || err != nil {
		t.Errorf("Populated: %v, %v", is, err)
	}
	if c.WaitEmpty(0) || c.WaitEmpty(3*firstWait) {
		t.Error("WaitEmpty: empty")
	}
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if !c.WaitEmpty(long) {
		t.Error("WaitEmpty after Kill: not empty")
	}
	for _, cmd := range []*exec.Cmd{first, second} {
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) ||
			exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
			t.Errorf("ended with %v", err)
		}
	}
	if got, err := c.PIDs(nil); err != nil || len(got) != 0 {
		t.Errorf("PIDs after Kill: %v, %v", got, err)
	}
	if err := c.Remove(long); err != nil {
		t.Error(err)
	}
	if exists(c.Path()) {
		t.Error("it is still there")
	}
}

// The waiter is told; it does not only look.
func TestCgroupWaitEmptyIsWoken(t *testing.T) {
	c := newCgroup(t, base(t))
	cmd := sleeper(t, c.FD())
	woken := make(chan bool, 1)
	go func() { woken <- c.WaitEmpty(long) }()
	_ = cmd.Process.Kill()
	if !<-woken {
		t.Error("not empty")
	}
}

func TestCgroupRemoveWaits(t *testing.T) {
	c := newCgroup(t, base(t))
	cmd := sleeper(t, c.FD())
	done := make(chan error, 1)
	go func() { done <- c.Remove(long) }()
	_ = cmd.Process.Kill()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if exists(c.Path()) {
		t.Error("it is still there")
	}
}

func TestCgroupRemoveLimit(t *testing.T) {
	before := openFiles(t)
	parent := base(t)
	c, err := New(parent)
	if err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t, c.FD())
	err = c.Remove(5 * time.Millisecond)
	want := "1 process is in it (pid " + strconv.Itoa(cmd.Process.Pid) + ")"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Remove: %v", err)
	}
	if !errors.Is(err, unix.EBUSY) || !exists(c.Path()) {
		t.Errorf("Remove: %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
	if c.Kill() == nil || c.WaitEmpty(0) {
		t.Error("a closed one can be used")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// A command may make as many as it likes, as deep as it likes: here deeper than a path can be long.
func TestCgroupRemoveBelow(t *testing.T) {
	before := openFiles(t)
	c := newCgroup(t, base(t))
	for i := range 300 {
		mkdirs(t, c.Path()+"/wide/"+strconv.Itoa(i))
	}
	mkdirs(t, c.Path()+"/a/b/c", c.Path()+"/wide/7/x/y")
	name := strings.Repeat("d", 200)
	at, err := unix.Open(c.Path(), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(at)
		at = next
	}
	t.Cleanup(func() { clearDeep(c.Path(), name) })
	unix.Close(at)
	visited := 0
	err = walkCgroups(c.dir, time.Time{}, cgroupVisitor{visit: func(int) { visited++ }})
	if err != nil || visited != 1+301+3+2+25 {
		t.Errorf("walked over %d, %v", visited, err)
	}
	if err := c.Remove(long); err != nil {
		t.Error(err)
	}
	if exists(c.Path()) {
		t.Error("it is still there")
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

// clearDeep removes directories whose path is too long for clearAway.
func clearDeep(path, name string) {
	var dirs []int
	const flags = unix.O_PATH | unix.O_CLOEXEC
	for at, err := unix.Open(path, flags, 0); err == nil; at, err = unix.Openat(at, name, flags, 0) {
		dirs = append(dirs, at)
	}
	for _, at := range slices.Backward(dirs) {
		_ = unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
		unix.Close(at)
	}
}

// What is below is removed also when no time is left for waiting.
func TestCgroupRemoveWithoutWaiting(t *testing.T) {
	c := newCgroup(t, base(t))
	mkdirs(t, c.Path()+"/a/b")
	if err := c.Remove(0); err != nil || exists(c.Path()) {
		t.Errorf("Remove: %v", err)
	}
}

func TestCgroupRemovedByAnother(t *testing.T) {
	c := newCgroup(t, base(t))
	if err := unix.Rmdir(c.Path()); err != nil {
		t.Fatal(err)
	}
	if is, err := c.Populated(); is || err != nil {
		t.Errorf("Populated: %v, %v", is, err)
	}
	if err := c.Kill(); err != nil {
		t.Errorf("Kill: %v", err)
	}
	if got, err := c.PIDs(nil); err != nil || len(got) != 0 {
		t.Errorf("PIDs: %v, %v", got, err)
	}
	if !c.WaitEmpty(0) {
		t.Error("not empty")
	}
	if err := c.Remove(0); err != nil {
		t.Errorf("Remove: %v", err)
	}
}

// What a process that is gone has left is removed, and nothing else.
func TestCgroupStale(t *testing.T) {
	parent := base(t)
	crashed := func() string {
		c, err := New(parent)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		return c.Path()
	}
	living := newCgroup(t, parent)
	mkdirs(t, living.Path()+"/a")
	var stale, others []string
	for i := range 3 { // made by hand: another crashed() would remove them
		stale = append(stale, parent+"/finite-"+strconv.Itoa(i)+"-00000000stale")
	}
	mkdirs(t, stale...)
	mkdirs(t, stale[1]+"/a/b/c", stale[1]+"/d")
	populated := parent + "/finite-7-populated"
	mkdirs(t, populated+"/a/b", populated+"/c")
	cmd := sleeperIn(t, populated+"/a/b")
	for _, name := range []string{
		"finite", "finite-", "finite-x-y", "finite-1", "finite-1-", "finite-1-00000000STALE",
		"finite-1-stale", "xfinite-1-00000000stale", "other",
	} {
		others = append(others, parent+"/"+name)
	}
	mkdirs(t, others...)

	next := newCgroupClears(t, parent, stale...)
	for _, path := range append(others, populated+"/a/b", populated+"/c", living.Path()+"/a", next.Path()) {
		if !exists(path) {
			t.Errorf("%s is not there any more", path)
		}
	}
	if err := cmd.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("signal 0 to the one in it: %v", err)
	}

	left := crashed()
	if !exists(left) {
		t.Error("what crashed left is not there")
	}
	newCgroupClears(t, parent, left)
}

// newCgroupClears makes one more, which removes the stale ones: in staleLimit what it can, on a
// machine that is busy, so a few more may be needed.
func newCgroupClears(t *testing.T, parent string, stale ...string) *Cgroup {
	t.Helper()
	for range 100 {
		c := newCgroup(t, parent)
		if !slices.ContainsFunc(stale, exists) {
			return c
		}
	}
	t.Fatalf("some of %q are still there", stale)
	return nil
}

// The lock ends with its owner, however that ends.
func TestCgroupStaleAfterKill(t *testing.T) {
	parent := base(t)
	cmd := helper(t, "TestCgroupStaleAfterKill/owner", "CGROUP_PARENT="+parent)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var line [512]byte
	n, err := out.Read(line[:])
	if err != nil {
		t.Fatal(err)
	}
	path, _, _ := strings.Cut(string(line[:n]), "\n")
	newCgroup(t, parent)
	if !exists(path) {
		t.Fatalf("%s of a process that lives was removed", path)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	newCgroupClears(t, parent, path)
}

// Many at once make and remove, and take each other's for stale ones while they are not locked yet.
func TestCgroupManyAtOnce(t *testing.T) {
	parent := base(t)
	errs := make(chan error)
	const workers = 8
	for range workers {
		go func() {
			var err error
			for range 20 {
				var c *Cgroup
				if c, err = New(parent); err != nil {
					break
				}
				if err = c.Remove(long); err != nil {
					break
				}
			}
			errs <- err
		}()
	}
	for range workers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if names, _ := filepath.Glob(parent + "/finite-*"); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

// One that another holds to be stale, or has removed, is made again with another name.
func TestCgroupTaken(t *testing.T) {
	parent := base(t)
	up, err := unix.Open(parent, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(up)
	mkdirs(t, parent+"/finite-1-a")
	another, err := unix.Open(parent+"/finite-1-a", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(another)
	if err := flock(another); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"finite-1-000000000000a", "finite-1-000000removed"} {
		c := &Cgroup{parent: up, name: name, dir: -1, kill: -1, events: -1}
		err := c.open()
		c.parent = -1
		c.close()
		if err != errTaken {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCgroupRefused(t *testing.T) {
	if _, err := New(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not in cgroup2") {
		t.Errorf("New in a temporary directory: %v", err)
	}
	if _, err := New("/does-not-exist"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("New nowhere: %v", err)
	}
	parent := base(t)
	if err := os.WriteFile(parent+"/cgroup.max.descendants", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := New(parent); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("New beyond the limit: %v", err)
	}
}

func TestIsLeafName(t *testing.T) {
	if name := leafName(); !isLeafName(name) ||
		!strings.HasPrefix(name, "finite-"+strconv.Itoa(os.Getpid())+"-") {
		t.Errorf("leafName() = %q", name)
	}
	if !isLeafName("finite-1-0az90az90az90") {
		t.Error("finite-1-0az90az90az90 is none")
	}
	for _, name := range []string{
		"", "finite", "finite-", "finite-1", "finite-1-", "finite--a", "finite-x-0az90az90az90",
		"finite-1-0AZ90az90az90", "finite-1-0az90az-0az90", "Finite-1-0az90az90az90", "1-0az90az90az90",
		"finite-1-prod",
	} {
		if isLeafName(name) {
			t.Errorf("%q is one", name)
		}
	}
}

func TestParseProcs(t *testing.T) {
	for text, want := range map[string][]int{
		"": nil, "1\n22\n0\n3\n": {1, 22, 3}, "0\n0\n": nil, "x\n-5\n7": {7},
	} {
		if got := parseProcs(nil, []byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("parseProcs(%q) = %v, want %v", text, got, want)
		}
	}
}

func BenchmarkCgroup(b *testing.B) {
	parent := base(b)
	own, err := Find()
	if err != nil {
		b.Fatal(err)
	}
	var finding, making, removing time.Duration
	for b.Loop() {
		t0 := time.Now()
		if _, err := Find(); err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		c, err := New(parent)
		if err != nil {
			b.Fatal(err)
		}
		t2 := time.Now()
		if err := c.Remove(0); err != nil {
			b.Fatal(err)
		}
		finding, making, removing = finding+t1.Sub(t0), making+t2.Sub(t1), removing+time.Since(t2)
	}
	for name, d := range map[string]time.Duration{"find": finding, "make": making, "remove": removing} {
		b.ReportMetric(float64(d.Microseconds())/float64(b.N), "µs-"+name)
	}
	b.Logf("%+v", own)
}

// Who froze himself, or what is below, acts on a signal when it is thawed.
func TestCgroupThaw(t *testing.T) {
	c := newCgroup(t, base(t))
	mkdirs(t, c.Path()+"/a/b")
	var all []*exec.Cmd
	for _, path := range []string{c.Path(), c.Path() + "/a/b"} {
		all = append(all, sleeperIn(t, path))
	}
	for _, path := range []string{c.Path(), c.Path() + "/a"} {
		if err := os.WriteFile(path+"/cgroup.freeze", []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	c.Thaw()
	for _, cmd := range all {
		_ = cmd.Process.Signal(unix.SIGTERM)
		// This hangs if it is frozen.
		if err := cmd.Wait(); err == nil ||
			cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGTERM {
			t.Errorf("got %v", cmd.ProcessState)
		}
	}
}
