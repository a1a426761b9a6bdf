package cgroup

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
)

// The rest finds cgroups, in namespaces of a process of its own. A role is a subtest, and a process
// that is this test binary.

// helper returns a command that runs one subtest of this test binary as a role.
func helper(t *testing.T, name string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe",
		"-test.run=^TestCgroupRole$/^"+strings.ReplaceAll(name, "/", "_")+"$")
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

// found fails if Find does not find this directory.
func found(t *testing.T, want string) {
	t.Helper()
	if own, err := Find(); err != nil || own.Unified != want {
		text, _ := os.ReadFile("/proc/self/cgroup")
		mounts, _ := exec.Command("grep", "cgroup", "/proc/self/mountinfo").Output()
		t.Errorf("Find: %+v, %v, want %q\n%s%s", own, err, want, text, mounts)
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
			c, err := New(os.Getenv("CGROUP_PARENT"))
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
			c, err := New("/sys/fs/cgroup/" + name)
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
			if _, err := New("/sys/fs/cgroup/" + name); !errors.Is(err, unix.EROFS) {
				t.Errorf("New: %v", err)
			}
			// Another mount of it, which may be written to, is preferred where there is a choice.
			dir := t.TempDir()
			mountOrFail(t, "none", dir, "cgroup2", 0)
			text, _ := os.ReadFile("/proc/self/mountinfo")
			_, got := mounts.Locate(mounts.Parse(text), mounts.Mount.IsUnified, "/"+name)
			if got != dir+"/"+name {
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
			point, dir := mounts.Locate(mounts.Parse(text), mounts.Mount.IsUnified, "/")
			if point != "/sys/fs/cgroup" || dir != point {
				t.Errorf("locate: %q, %q", point, dir)
			}
		},
		"eater": eat,
		"none":  func(t *testing.T) { remove(t, "/sys/fs/cgroup"); found(t, "") },
		"no proc": func(t *testing.T) {
			remove(t, "/proc")
			if own, err := Find(); !errors.Is(err, unix.ENOENT) || own != (Own{}) {
				t.Errorf("Find: %+v, %v", own, err)
			}
		},
		"mounted over below": func(t *testing.T) {
			// The command has mounted something else over what it made: that is not touched.
			c, err := New(os.Getenv("CGROUP_DIR"))
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
			if err := c.Remove(0); !errors.Is(err, errMountedOver) || !exists(other+"/x") ||
				exists(c.Path()+"/c") {
				t.Errorf("Remove: %v", err)
			}
		},
	} {
		t.Run(role, run)
	}
}

// Find in many layouts, as a process in a cgroup of its own.
func TestFindCgroupsLayouts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root, to mount")
	}
	for _, role := range []string{
		"as it is", "unified", "read-only", "elsewhere", "own directory mounted", "another mounted",
		"covered", "namespace", "none", "no proc",
		"mounted over below",
	} {
		t.Run(role, func(t *testing.T) {
			path := base(t)
			dir, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			cmd := helper(t, strings.ReplaceAll(role, " ", "_"), "CGROUP_DIR="+path,
				"CGROUP_NAME="+filepath.Base(path))
			cmd.SysProcAttr = &syscall.SysProcAttr{
				UseCgroupFD: true, CgroupFD: int(dir.Fd()), Unshareflags: unix.CLONE_NEWNS,
			}
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
	own, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	paths := mounts.ParseCgroups(text)
	if text, err = os.ReadFile("/proc/self/mountinfo"); err != nil {
		t.Fatal(err)
	}
	all := mounts.Parse(text)
	if _, dir := mounts.Locate(all, mounts.Mount.IsUnified, paths.Unified); paths.Unified != "" &&
		dir != own.Unified {
		t.Errorf("the list of mounts says %q, not %q", dir, own.Unified)
	}
	if !paths.MemoryV1 {
		return
	}
	isMemory := func(m mounts.Mount) bool { return m.IsV1("memory") }
	if _, dir := mounts.Locate(all, isMemory, paths.Memory); dir != own.Memory ||
		own.MemoryV1 != (dir != "") {
		t.Errorf("the list of mounts says %q, not %+v", dir, own)
	}
}
