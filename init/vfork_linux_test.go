//go:build amd64 || arm64

package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// The assembly finds the fields of a launch where the compiler puts them.
func TestLaunchLayout(t *testing.T) {
	fields := map[string]int{"call_size": int(reflect.TypeFor[call]().Size())}
	for name, typ := range map[string]reflect.Type{"launch": reflect.TypeFor[launch](), "call": reflect.TypeFor[call]()} {
		for i := range typ.NumField() {
			f := typ.Field(i)
			fields[name+"_"+f.Name] = int(f.Offset)
		}
	}
	for i, name := range []string{"MAY", "ZERO", "SOME", "FORK"} {
		fields[name] = i + mayCall
	}
	for _, file := range []string{"vfork_linux_amd64.s", "vfork_linux_arm64.s"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^#define ((?:launch|call)_\w+|MAY|ZERO|SOME|FORK) (\d+)$`).FindAllStringSubmatch(string(text), -1)
		if len(found) != len(fields) {
			t.Errorf("%s: %d fields, want %d", file, len(found), len(fields))
		}
		for _, m := range found {
			if offset, err := strconv.Atoi(m[2]); err != nil || fields[m[1]] != offset {
				t.Errorf("%s: %s is at %s, want %d", file, m[1], m[2], fields[m[1]])
			}
		}
	}
}

// What is started by vfork is in a process group of its own, with the mask, the ignored set and the limit that were asked for, in the
// directory that was asked for, and has a pidfd.
func TestForkInherited(t *testing.T) {
	dir := t.TempDir()
	inherited := signals.Inherited{
		Mask: signals.SetOf(unix.SIGUSR1, signals.RTMax), Ignored: signals.SetOf(unix.SIGHUP, unix.SIGURG, 34), Files: unix.Rlimit{Cur: 55, Max: 77},
		TimerSlack: 123456,
	}
	script := `cat /proc/self/status /proc/self/limits /proc/self/timerslack_ns /proc/self/stat >out; echo "$1" >>out; pwd >>out; exit 9`
	cfg := &Config{Dir: dir, inherited: inherited}
	c, err := forkInherited(forkMode{pidfd: true, tty: -1, cgroup: -1}, cfg, "/bin/sh", []string{"sh", "-c", script, "sh", "an argument"}, []string{"A=1"})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(c.pidfd)
	reap.Discard(c.pid)
	if err := unix.PidfdSendSignal(c.pidfd, 0, nil, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the pidfd is not the child's: %v", err)
	}
	out, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"SigIgn:\t0000000200400001\n", "Max open files            55                   77", "\n123456\n", " " + strconv.Itoa(c.pid) + " ", "an argument\n" + dir + "\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// What cannot be executed says why, and leaves neither a zombie nor a descriptor.
func TestForkInheritedFails(t *testing.T) {
	before := openFiles(t)
	for path, want := range map[string]error{"/no/such/file": unix.ENOENT, "/etc/passwd": unix.EACCES, "/": unix.EACCES} {
		if _, err := forkInherited(forkMode{pidfd: true, tty: -1, cgroup: -1}, &Config{}, path, []string{path}, nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	if _, err := forkInherited(forkMode{tty: -1, cgroup: -1}, &Config{Dir: "/no/such/directory"}, "/bin/true", []string{"true"}, nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if _, err := forkInherited(forkMode{tty: -1, cgroup: -1}, &Config{}, "/bin/true", []string{"tr\x00ue"}, nil); !errors.Is(err, unix.EINVAL) {
		t.Errorf("an argument with a zero byte: %v", err)
	}
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %v", err)
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// Who has not written its word has not run if it has ended; and it runs if it lives on where the memory was thought to be shared.
func TestHasRun(t *testing.T) {
	c, err := forkInherited(forkMode{tty: -1, cgroup: -1}, &Config{}, "/bin/sleep", []string{"sleep", "1000"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reap.Discard(c.pid)
	defer func() { _ = unix.Kill(c.pid, unix.SIGKILL) }()
	word := new(uint64)
	if !hasRun(word, c.pid, true) {
		t.Error("one that lives has not run")
	}
	_ = unix.Kill(c.pid, unix.SIGKILL)
	if hasRun(word, c.pid, true) || hasRun(word, c.pid, false) {
		t.Error("one that was killed has run")
	}
	*word = 1
	if !hasRun(word, c.pid, false) {
		t.Error("one that has written its word has not run")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
