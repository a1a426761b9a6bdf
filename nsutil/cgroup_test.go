package nsutil

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
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
	own, err := FindCgroups()
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
	c, err := NewCgroup(parent)
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
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != unix.SIGKILL {
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
	c, err := NewCgroup(parent)
	if err != nil {
		t.Fatal(err)
	}
	cmd := sleeper(t, c.FD())
	err = c.Remove(5 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "1 process is in it (pid "+strconv.Itoa(cmd.Process.Pid)+")") {
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
	if err := walkCgroups(c.dir, time.Time{}, cgroupVisitor{visit: func(int) { visited++ }}); err != nil || visited != 1+301+3+2+25 {
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
	for at, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0); err == nil; at, err = unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC, 0) {
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
		c, err := NewCgroup(parent)
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
	for _, name := range []string{"finite", "finite-", "finite-x-y", "finite-1", "finite-1-", "finite-1-00000000STALE", "finite-1-stale", "xfinite-1-00000000stale", "other"} {
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

// newCgroupClears makes one more, which removes the stale ones: in staleLimit what it can, on a machine that is busy, so a few more may be needed.
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
				if c, err = NewCgroup(parent); err != nil {
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
	if _, err := NewCgroup(t.TempDir()); err == nil || !strings.Contains(err.Error(), "not in cgroup2") {
		t.Errorf("NewCgroup in a temporary directory: %v", err)
	}
	if _, err := NewCgroup("/does-not-exist"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("NewCgroup nowhere: %v", err)
	}
	parent := base(t)
	if err := os.WriteFile(parent+"/cgroup.max.descendants", []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := NewCgroup(parent); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("NewCgroup beyond the limit: %v", err)
	}
}

func TestIsLeafName(t *testing.T) {
	if name := leafName(); !isLeafName(name) || !strings.HasPrefix(name, "finite-"+strconv.Itoa(os.Getpid())+"-") {
		t.Errorf("leafName() = %q", name)
	}
	if !isLeafName("finite-1-0az90az90az90") {
		t.Error("finite-1-0az90az90az90 is none")
	}
	for _, name := range []string{"", "finite", "finite-", "finite-1", "finite-1-", "finite--a", "finite-x-0az90az90az90", "finite-1-0AZ90az90az90", "finite-1-0az90az-0az90", "Finite-1-0az90az90az90", "1-0az90az90az90", "finite-1-prod"} {
		if isLeafName(name) {
			t.Errorf("%q is one", name)
		}
	}
}

// The rest finds cgroups, in namespaces of a process of its own. A role is a subtest, and a process that is this test binary.

// helper returns a command that runs one subtest of this test binary as a role.
func helper(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCgroupRole$/^"+strings.ReplaceAll(name, "/", "_")+"$")
	cmd.Env = append(append(os.Environ(), "CGROUP_ROLE=1", "GORACE=atexit_sleep_ms=0"), env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func mountOrFail(t *testing.T, source, target, kind string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, ""); err != nil {
		t.Fatalf("mount %s on %s: %v", source, target, err)
	}
}

func remove(t *testing.T, target string) {
	t.Helper()
	if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
		t.Fatalf("umount %s: %v", target, err)
	}
}

// found fails if FindCgroups does not find this directory.
func found(t *testing.T, want string) {
	t.Helper()
	if own, err := FindCgroups(); err != nil || own.Unified != want {
		text, _ := os.ReadFile("/proc/self/cgroup")
		mounts, _ := exec.Command("grep", "cgroup", "/proc/self/mountinfo").Output()
		t.Errorf("FindCgroups: %+v, %v, want %q\n%s%s", own, err, want, text, mounts)
	}
}

func TestCgroupRole(t *testing.T) {
	if os.Getenv("CGROUP_ROLE") == "" {
		return // it is here for other tests
	}
	name := os.Getenv("CGROUP_NAME") // of the own cgroup, relative to the mount's root
	unified := func(t *testing.T) {
		remove(t, "/sys/fs/cgroup")
		mountOrFail(t, "none", "/sys/fs/cgroup", "cgroup2", 0)
	}
	bind := func(t *testing.T, path, target string) { // makes a directory of the hierarchy a mount of its own
		dir := t.TempDir()
		mountOrFail(t, "none", dir, "cgroup2", 0)
		remove(t, "/sys/fs/cgroup")
		if target != "/sys/fs/cgroup" {
			mkdirs(t, target)
		}
		mountOrFail(t, dir+path, target, "", unix.MS_BIND)
		remove(t, dir)
	}
	for role, run := range map[string]func(t *testing.T){
		"TestCgroupStaleAfterKill_owner": func(t *testing.T) {
			c, err := NewCgroup(os.Getenv("CGROUP_PARENT"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = os.Stdout.WriteString(c.Path() + "\n")
			for {
				_ = unix.Pause()
			}
		},
		"as it is": func(t *testing.T) { found(t, os.Getenv("CGROUP_DIR")) },
		"unified": func(t *testing.T) {
			unified(t)
			found(t, "/sys/fs/cgroup/"+name)
			c, err := NewCgroup("/sys/fs/cgroup/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Remove(0); err != nil {
				t.Error(err)
			}
		},
		"read-only": func(t *testing.T) {
			unified(t)
			mountOrFail(t, "none", "/sys/fs/cgroup", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY)
			found(t, "/sys/fs/cgroup/"+name)
			if _, err := NewCgroup("/sys/fs/cgroup/" + name); !errors.Is(err, unix.EROFS) {
				t.Errorf("NewCgroup: %v", err)
			}
			dir := t.TempDir() // another mount of it, which may be written to, is preferred where there is a choice
			mountOrFail(t, "none", dir, "cgroup2", 0)
			text, _ := os.ReadFile("/proc/self/mountinfo")
			if _, got := locate(parseMounts(text), mount2, "/"+name); got != dir+"/"+name {
				t.Errorf("locate: %q", got)
			}
			remove(t, dir)
		},
		"elsewhere": func(t *testing.T) {
			dir := t.TempDir() + "/a b\tc\\d\ne"
			bind(t, "/", dir)
			found(t, dir+"/"+name)
			remove(t, dir)
		},
		"own directory mounted": func(t *testing.T) { // as with Docker and no cgroup namespace
			unifiedDir := "/" + name
			bind(t, unifiedDir, "/sys/fs/cgroup")
			mkdirs(t, "/sys/fs/cgroup/"+name) // of the same name: it is not this one
			found(t, "/sys/fs/cgroup")
		},
		"another mounted": func(t *testing.T) {
			other := "/" + name + "/other"
			mkdirs(t, os.Getenv("CGROUP_DIR")+"/other/"+name)
			bind(t, other, "/sys/fs/cgroup")
			found(t, "")
		},
		"covered": func(t *testing.T) {
			unified(t)
			mountOrFail(t, "none", "/sys/fs/cgroup", "tmpfs", 0)
			found(t, "")
			mkdirs(t, "/sys/fs/cgroup/unified")
			mountOrFail(t, "none", "/sys/fs/cgroup/unified", "cgroup2", 0)
			found(t, "/sys/fs/cgroup/unified/"+name)
			mountOrFail(t, "none", "/sys/fs/cgroup/unified/"+name, "tmpfs", 0)
			found(t, "")
		},
		"namespace": func(t *testing.T) {
			runtime.LockOSThread() // which goes to the namespace alone
			if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
				t.Fatal(err)
			}
			found(t, "") // what is mounted begins above the namespace
			unified(t)
			found(t, "/sys/fs/cgroup")
			text, err := os.ReadFile("/proc/self/mountinfo")
			if err != nil {
				t.Fatal(err)
			}
			if point, dir := locate(parseMounts(text), mount2, "/"); point != "/sys/fs/cgroup" || dir != point {
				t.Errorf("locate: %q, %q", point, dir)
			}
		},
		"eater": eat,
		"none":  func(t *testing.T) { remove(t, "/sys/fs/cgroup"); found(t, "") },
		"no proc": func(t *testing.T) {
			remove(t, "/proc")
			if own, err := FindCgroups(); !errors.Is(err, unix.ENOENT) || own != (OwnCgroups{}) {
				t.Errorf("FindCgroups: %+v, %v", own, err)
			}
		},
		"mounted over below": func(t *testing.T) {
			// The command has mounted something else over what it made: that is not touched.
			c, err := NewCgroup(os.Getenv("CGROUP_DIR"))
			if err != nil {
				t.Fatal(err)
			}
			other := os.Getenv("CGROUP_DIR") + "/other"
			mkdirs(t, c.Path()+"/a/b", c.Path()+"/c/d", other+"/x")
			cmd := sleeperIn(t, other+"/x")
			mountOrFail(t, other, c.Path()+"/a", "", unix.MS_BIND)
			if got, err := c.PIDs(nil); !errors.Is(err, errMountedOver) || len(got) != 0 {
				t.Errorf("PIDs: %v, %v", got, err)
			}
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			if err := c.Remove(0); !errors.Is(err, errMountedOver) || !exists(other+"/x") || exists(c.Path()+"/c") {
				t.Errorf("Remove: %v", err)
			}
		},
	} {
		t.Run(role, run)
	}
}

// FindCgroups in many layouts, as a process in a cgroup of its own.
func TestFindCgroupsLayouts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root, to mount")
	}
	for _, role := range []string{
		"as it is", "unified", "read-only", "elsewhere", "own directory mounted", "another mounted", "covered", "namespace", "none", "no proc",
		"mounted over below",
	} {
		t.Run(role, func(t *testing.T) {
			path := base(t)
			dir, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			cmd := helper(t, strings.ReplaceAll(role, " ", "_"), "CGROUP_DIR="+path, "CGROUP_NAME="+filepath.Base(path))
			cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd()), Unshareflags: unix.CLONE_NEWNS}
			cmd.Args = append(cmd.Args, "-test.v") // to see that it ran
			passed := "--- PASS: TestCgroupRole/" + strings.ReplaceAll(role, " ", "_") + " "
			if out, err := cmd.Output(); err != nil || !bytes.Contains(out, []byte(passed)) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// The proof and the list of mounts come to the same on this machine.
func TestFindCgroupsBothWays(t *testing.T) {
	own, err := FindCgroups()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	paths := parseOwnCgroups(text)
	if text, err = os.ReadFile("/proc/self/mountinfo"); err != nil {
		t.Fatal(err)
	}
	mounts := parseMounts(text)
	if _, dir := locate(mounts, mount2, paths.unified); paths.unified != "" && dir != own.Unified {
		t.Errorf("the list of mounts says %q, not %q", dir, own.Unified)
	}
	if !paths.memoryV1 {
		return
	}
	if _, dir := locate(mounts, mountMemoryV1, paths.memory); dir != own.Memory || own.MemoryV1 != (dir != "") {
		t.Errorf("the list of mounts says %q, not %+v", dir, own)
	}
}

func TestParseOwnCgroups(t *testing.T) {
	for text, want := range map[string]ownPaths{
		"":                          {},
		"0::/\n":                    {unified: "/"},
		"0::/a b:c/d\n":             {unified: "/a b:c/d"},
		"0::/a":                     {unified: "/a"},
		"0::/a (deleted)\n":         {},
		"0::/../a\n":                {},
		"0::/..\n":                  {},
		"0::/a/..b/..\n":            {},
		"0::/a/..b/b..\n":           {unified: "/a/..b/b.."},
		"0::\n":                     {},
		"0:\n0\nx\n:::\n":           {},
		"4:memory:/x\n0::/\n":       {unified: "/", memory: "/x", memoryV1: true},
		"0::/\n4:memory:/x\n":       {unified: "/", memory: "/x", memoryV1: true},
		"4:memory,hugetlb:/x:y\n":   {memory: "/x:y", memoryV1: true},
		"4:hugetlb,memory:/\n":      {memory: "/", memoryV1: true},
		"4:memory:/../x\n":          {memoryV1: true},
		"1:name=memory:/x\n":        {},
		"1:name=systemd:/x\n":       {},
		"3:cpu,cpuacct:/x\n0::/y\n": {unified: "/y"},
		"3:pids:/x\n2:freezer:/y\n": {pids: "/x", freezer: "/y"},
		"3:freezer,pids:/x\n":       {pids: "/x", freezer: "/x"},
	} {
		if got := parseOwnCgroups([]byte(text)); got != want {
			t.Errorf("parseOwnCgroups(%q) = %+v, want %+v", text, got, want)
		}
	}
}

func TestParseMounts(t *testing.T) {
	text := "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" +
		"no mount\n1 2 3 - x y z\nx 2 0:1 / / rw - a b c\n1 x 0:1 / / rw - a b c\n" +
		"41 31 0:38 /a\\040b /x\\011y\\012z\\134\\1\\999 ro,relatime shared:1 master:2 - cgroup2 no\\040ne rw,nsdelegate\n"
	want := []mount{
		{31, 23, "/", "/sys/fs/cgroup", "rw,relatime", "tmpfs", "rw,mode=755"},
		{41, 31, "/a b", "/x\ty\nz\\\\1\\999", "ro,relatime", "cgroup2", "rw,nsdelegate"},
	}
	if got := parseMounts([]byte(text)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLocate(t *testing.T) {
	m := func(id, parent int, root, point, kind string) mount {
		return mount{id, parent, root, point, "rw", kind, "rw,memory"}
	}
	root, tmp := m(1, 0, "/", "/", "ext4"), m(2, 1, "/", "/sys/fs/cgroup", "tmpfs")
	readOnly := m(3, 1, "/", "/ro", "cgroup2")
	readOnly.options = "ro,nosuid"
	for name, tt := range map[string]struct {
		mounts []mount
		path   string
		point  string
		want   string
	}{
		"none":           {[]mount{root, tmp}, "/a", "", ""},
		"unified":        {[]mount{root, m(3, 1, "/", "/sys/fs/cgroup", "cgroup2")}, "/a/b", "/sys/fs/cgroup", "/sys/fs/cgroup/a/b"},
		"root":           {[]mount{root, m(3, 1, "/", "/sys/fs/cgroup", "cgroup2")}, "/", "/sys/fs/cgroup", "/sys/fs/cgroup"},
		"hybrid":         {[]mount{root, tmp, m(3, 2, "/", "/sys/fs/cgroup/unified", "cgroup2")}, "/a", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a"},
		"out of order":   {[]mount{m(3, 2, "/", "/sys/fs/cgroup/unified", "cgroup2"), tmp, root}, "/a", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a"},
		"v1":             {[]mount{root, tmp, m(3, 2, "/", "/sys/fs/cgroup/memory", "cgroup")}, "/a", "", ""},
		"root stripped":  {[]mount{root, m(3, 1, "/x", "/c", "cgroup2")}, "/x/a", "/c", "/c/a"},
		"root itself":    {[]mount{root, m(3, 1, "/x", "/c", "cgroup2")}, "/x", "/c", "/c"},
		"another root":   {[]mount{root, m(3, 1, "/x", "/c", "cgroup2")}, "/xy", "", ""},
		"below our root": {[]mount{root, m(3, 1, "/x/a", "/c", "cgroup2")}, "/x", "", ""},
		"above":          {[]mount{root, m(3, 1, "/..", "/c", "cgroup2")}, "/", "", ""},
		"several":        {[]mount{root, m(3, 1, "/y", "/c", "cgroup2"), m(4, 1, "/", "/d", "cgroup2")}, "/x", "/d", "/d/x"},
		"read-only too":  {[]mount{root, readOnly, m(4, 1, "/", "/d", "cgroup2")}, "/x", "/d", "/d/x"},
		"read-only":      {[]mount{root, readOnly}, "/x", "/ro", "/ro/x"},
		"mounted over":   {[]mount{root, m(3, 1, "/", "/c", "cgroup2"), m(4, 3, "/", "/c", "tmpfs")}, "/x", "", ""},
		"twice":          {[]mount{root, m(3, 1, "/x", "/c", "cgroup2"), m(4, 3, "/", "/c", "cgroup2")}, "/x", "/c", "/c/x"},
		"the last one":   {[]mount{root, m(3, 1, "/", "/c", "cgroup2"), m(4, 1, "/x", "/c", "cgroup2")}, "/x", "/c", "/c"},
		"parent covered": {[]mount{root, tmp, m(3, 2, "/", "/sys/fs/cgroup/unified", "cgroup2"), m(4, 2, "/", "/sys/fs/cgroup", "tmpfs")}, "/", "", ""},
		"above covered":  {[]mount{root, m(3, 1, "/", "/sys/fs/cgroup", "cgroup2"), m(4, 1, "/", "/sys", "sysfs")}, "/", "", ""},
		"beside":         {[]mount{root, m(3, 1, "/", "/c", "cgroup2"), m(4, 1, "/", "/cc", "tmpfs"), m(5, 3, "/", "/c/y", "tmpfs")}, "/x", "/c", "/c/x"},
		"on the way":     {[]mount{root, m(3, 1, "/", "/c", "cgroup2"), m(5, 3, "/", "/c/x", "tmpfs")}, "/x/y", "", ""},
		"under it":       {[]mount{root, m(2, 1, "/", "/a/b", "tmpfs"), m(3, 1, "/", "/a", "ext4"), m(4, 3, "/", "/a/b/c", "cgroup2")}, "/", "/a/b/c", "/a/b/c"},
		"circle":         {[]mount{m(3, 4, "/", "/a/b", "cgroup2"), m(4, 3, "/", "/a", "tmpfs")}, "/", "", ""},
		"no parent":      {[]mount{m(3, 77, "/", "/c", "cgroup2")}, "/x", "/c", "/c/x"},
	} {
		if point, dir := locate(tt.mounts, mount2, tt.path); point != tt.point || dir != tt.want {
			t.Errorf("%s: locate = %q, %q, want %q, %q", name, point, dir, tt.point, tt.want)
		}
	}
	named := m(3, 1, "/", "/c", "cgroup")
	named.superOptions = "rw,name=memory"
	if _, dir := locate([]mount{root, named}, mountMemoryV1, "/"); dir != "" {
		t.Errorf("a hierarchy called memory is taken for the controller: %q", dir)
	}
	named.superOptions = "rw,hugetlb,memory"
	if _, dir := locate([]mount{root, named}, mountMemoryV1, "/x"); dir != "/c/x" {
		t.Errorf("with another controller: %q", dir)
	}
}

func TestParseProcs(t *testing.T) {
	for text, want := range map[string][]int{"": nil, "1\n22\n0\n3\n": {1, 22, 3}, "0\n0\n": nil, "x\n-5\n7": {7}} {
		if got := parseProcs(nil, []byte(text)); !reflect.DeepEqual(got, want) {
			t.Errorf("parseProcs(%q) = %v, want %v", text, got, want)
		}
	}
}

func FuzzParseOwnCgroups(f *testing.F) {
	f.Add([]byte("4:memory,x:/a\n0::/b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		own := parseOwnCgroups(b)
		for _, path := range []string{own.unified, own.memory} {
			if path != "" && (path[0] != '/' || slices.Contains(strings.Split(path, "/"), "..")) {
				t.Fatalf("parseOwnCgroups(%q) = %+v", b, own)
			}
		}
	})
}

func FuzzParseMounts(f *testing.F) {
	f.Add([]byte("31 23 0:28 / /c rw - cgroup2 none rw\n32 31 0:29 / /c/x rw - tmpfs none rw\n"), "/x")
	f.Fuzz(func(t *testing.T, b []byte, path string) {
		if reachable(path) == "" {
			return
		}
		point, dir := locate(parseMounts(b), mount2, path)
		if !isWithin(point, dir) {
			t.Fatalf("locate(%q, %q) = %q, %q", b, path, point, dir)
		}
	})
}

func FuzzNextDirent(f *testing.F) {
	f.Add(append(make([]byte, 16), 24, 0, 4, 'a', 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; ; {
			name, _, next := nextDirent(rest)
			if next == nil {
				return
			}
			if len(next) >= len(rest) || strings.Contains(name, "\x00") {
				t.Fatalf("nextDirent(%q) = %q, %q", rest, name, next)
			}
			rest = next
		}
	})
}

func FuzzParseProcs(f *testing.F) {
	f.Add([]byte("1\n0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, pid := range parseProcs(nil, b) {
			if pid <= 0 {
				t.Fatalf("parseProcs(%q) has %d", b, pid)
			}
		}
	})
}

func BenchmarkCgroup(b *testing.B) {
	parent := base(b)
	own, err := FindCgroups()
	if err != nil {
		b.Fatal(err)
	}
	var finding, making, removing time.Duration
	for b.Loop() {
		t0 := time.Now()
		if _, err := FindCgroups(); err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		c, err := NewCgroup(parent)
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
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != unix.SIGTERM { // this hangs if it is frozen
			t.Errorf("got %v", cmd.ProcessState)
		}
	}
}
