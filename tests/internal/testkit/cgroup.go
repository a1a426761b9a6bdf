package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CgroupMount is a line of /proc/self/mountinfo.
type CgroupMount struct{ Point, Kind, Options string }

// CgroupMounts lists where cgroups are mounted and can be written to.
func CgroupMounts(t *testing.T) []CgroupMount {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var mounts []CgroupMount
	for line := range strings.Lines(string(text)) {
		left, right, _ := strings.Cut(line, " - ") // proc_pid_mountinfo(5)
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) > 5 && len(r) > 2 && strings.HasPrefix(r[0], "cgroup") && strings.HasPrefix(l[5], "rw") {
			mounts = append(mounts, CgroupMount{l[4], r[0], r[2]})
		}
	}
	return mounts
}

// Unified returns where cgroup2 is mounted.
func Unified(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "needs root to make cgroups")
	}
	for _, m := range CgroupMounts(t) {
		if m.Kind == "cgroup2" {
			return m.Point
		}
	}
	Missing(t, "needs a writable cgroup2 mount")
	return ""
}

var cgroupNumber atomic.Int32

// MakeCgroup makes a cgroup at the top of a hierarchy, which is removed with all in it at the
// test's end.
func MakeCgroup(t *testing.T, mount string) string {
	t.Helper()
	dir := filepath.Join(mount, fmt.Sprintf("finitetest-%d-%d", os.Getpid(), cgroupNumber.Add(1)))
	if err := os.Mkdir(dir, 0o755); err != nil {
		Missing(t, "cannot make a cgroup: %v", err)
	}
	t.Cleanup(func() { ClearCgroup(t, dir) })
	return dir
}

// Room makes a cgroup v2 that finite is to run in.
func Room(t *testing.T) string {
	t.Helper()
	dir := MakeCgroup(t, Unified(t))
	if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err != nil {
		Missing(t, "needs Linux 5.14: %v", err)
	}
	return dir
}

// ClearCgroup kills who is in a cgroup and below, and removes all of it.
func ClearCgroup(t *testing.T, dir string) {
	_ = os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0)
	var err error
	for begin := time.Now(); time.Since(begin) < Patience(); {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for _, d := range slices.Backward(dirs) {
			if e := unix.Rmdir(d); e != nil && e != unix.ENOENT {
				err = e
				for _, pid := range Procs(d) {
					_ = unix.Kill(pid, unix.SIGKILL)
				}
			}
		}
		if _, e := os.Stat(dir); errors.Is(e, os.ErrNotExist) {
			return
		}
	}
	t.Errorf("%s is left: %v", dir, err)
}

// Procs lists who is in one cgroup.
func Procs(dir string) []int {
	var pids []int
	text, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	for _, word := range strings.Fields(string(text)) {
		if pid, _ := strconv.Atoi(word); pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Within has a cage, and so finite, started in a cgroup v2.
func Within(t *testing.T, dir string) func(*exec.Cmd) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return func(cmd *exec.Cmd) { cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd()) }
}

// Limited makes a cgroup with a limit: file is the controller's, in v1 and in v2. It returns the
// directory.
func Limited(t *testing.T, controller, fileV1, fileV2, limit string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "needs root to make cgroups")
	}
	for _, m := range CgroupMounts(t) {
		file := fileV2
		if m.Kind == "cgroup" {
			file = fileV1
			if !hasWord(m.Options, controller) {
				continue
			}
		} else {
			text, _ := os.ReadFile(filepath.Join(m.Point, "cgroup.subtree_control"))
			if !hasWord(strings.ReplaceAll(strings.TrimSpace(string(text)), " ", ","), controller) {
				continue
			}
		}
		dir := MakeCgroup(t, m.Point)
		if err := os.WriteFile(filepath.Join(dir, file), []byte(limit), 0); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	Missing(t, "needs the cgroup controller %s", controller)
	return ""
}

func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// Joins is a command that goes into a cgroup, and becomes args there.
func Joins(dir string, args ...string) []string {
	return append([]string{
		"/bin/sh", "-c", `echo 0 >"$1/cgroup.procs" || exit 97; shift; exec "$@"`, "sh", dir,
	}, args...)
}
