package inspect

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseStack(t *testing.T) {
	got := parseStack([]byte("[<0>] request_wait_answer+0x1a/0x2b\n[<0>] fuse_read\n\n"))
	if want := []string{"request_wait_answer+0x1a/0x2b", "fuse_read"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func (f *fixture) survivors(limit time.Duration) ([]Survivor, error) {
	self := os.Getpid()
	return findSurvivors(linux{}, members{root: self, self: self}, f.reader(limit, 1))
}

// Who is left is named, whatever hangs, with the reason as far as it is known.
func TestFindSurvivors(t *testing.T) {
	f := newFixture(t)
	self := os.Getpid()
	f.add(self, 1, "self", true, 11, 10, 12)
	f.add(10, self, "stuck", true)
	f.more(10, "State:\tD (disk sleep)\n", nil)
	f.hang(10, "wchan")
	f.hang(10, "stat")
	f.add(11, self, "other", true)
	f.more(11, "", map[string]string{"stack": "[<0>] do_wait+0x1/0x2\n"})
	f.add(12, self, "third", true)
	all, err := f.survivors(300 * time.Millisecond)
	if err != nil || len(all) != 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	for i, want := range []struct{ comm, why string }{
		{"stuck", "uninterruptible in the kernel"},
		{"other", "ending, in do_wait for a child"},
		{"third", "ending, in do_wait for a child"},
	} {
		s := all[i]
		// A number of the fixture may be a process of another user's.
		if s.PID != 10+i || s.Comm != want.comm || s.Why != want.why &&
			!strings.HasPrefix(s.Why, "another user's") {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
	if len(all[1].Stack) != 1 {
		t.Errorf("the stack: %v", all[1].Stack)
	}
}

// If /proc does not answer, that is no news of nobody being left.
func TestFindSurvivorsSilent(t *testing.T) {
	self := os.Getpid()
	for name, pid := range map[string]int{"the list": self, "the only one": 10} {
		f := newFixture(t)
		f.add(self, 1, "self", true, 10)
		f.add(10, self, "stuck", true)
		f.hang(pid, "status")
		if all, err := f.survivors(50 * time.Millisecond); err != errSilent {
			t.Errorf("%s: got %+v, %v", name, all, err)
		}
	}
}

// So many threads that their number is the limit do not keep the rest from being read in time.
func TestFindSurvivorsThreads(t *testing.T) {
	f := newFixture(t)
	self := os.Getpid()
	f.add(self, 1, "self", true, nobody, nobody+1)
	f.add(nobody, self, "many", true)
	f.more(nobody, fmt.Sprintf("State:\tZ (zombie)\nThreads:\t%d\n", maxDescribed), nil)
	f.add(nobody+1, self, "two", true)
	f.more(nobody+1, "State:\tZ (zombie)\nThreads:\t2\n", map[string]string{
		"task/77/status": "Name:\tw\nState:\tD (disk sleep)\n",
	})
	all, err := f.survivors(long)
	if err != nil || len(all) != 2 || all[1].Why != "its main thread has ended, 1 other thread goes on" {
		t.Errorf("got %+v, %v", all, err)
	}
}

// What one survivor says of another, and what its threads and cgroups say, is in its reason.
func TestFindSurvivorsTogether(t *testing.T) {
	f := newFixture(t)
	self, freezer := os.Getpid(), t.TempDir()
	f.add(self, 1, "self", true, nobody, nobody+1, nobody+3, nobody+5, nobody+6)
	f.more(self, "", map[string]string{"mountinfo": "1 0 0:1 / " + freezer + " rw - cgroup c rw,freezer\n"})
	f.add(nobody, self, "parent", true, nobody+2)
	f.more(nobody, "State:\tD (disk sleep)\n", map[string]string{"wchan": "request_wait_answer"})
	f.add(nobody+1, self, "mine", true)
	f.more(nobody+1, "State:\tZ (zombie)\n", nil)
	f.add(nobody+2, nobody, "its", true)
	f.more(nobody+2, "State:\tZ (zombie)\n", nil)
	f.add(nobody+3, self, "init", true, nobody+4)
	f.more(nobody+3, "NSpid:\t9\t1\n", map[string]string{"wchan": "zap_pid_ns_processes"})
	f.withoutMemory(nobody + 3)
	f.add(nobody+4, nobody+3, "traced", true)
	f.more(nobody+4, fmt.Sprintf("State:\tt (tracing stop)\nTracerPid:\t%d\n", nobody+7), nil)
	f.add(nobody+5, self, "many", true)
	f.more(nobody+5, "State:\tZ (zombie)\nThreads:\t2\n", map[string]string{
		"task/77/status": "Name:\tw\nState:\tD (disk sleep)\n", "task/77/wchan": "nfs_wait_bit_killable",
	})
	f.add(nobody+6, self, "frozen", true)
	f.more(nobody+6, "", map[string]string{"cgroup": "3:freezer:/x\n"})
	if err := os.Mkdir(freezer+"/x", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(freezer+"/x/freezer.self_freezing", []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.add(nobody+7, 1, "gdb", true)
	all, err := f.survivors(long)
	if err != nil || len(all) != 7 {
		t.Fatalf("got %+v, %v", all, err)
	}
	for i, want := range []string{
		"uninterruptible in request_wait_answer (a FUSE file system does not answer)",
		fmt.Sprintf("dead, but its parent self (pid %d) has not reaped it", self),
		fmt.Sprintf("dead, but its parent parent (pid %d), which is in uninterruptible sleep, has not "+
			"reaped it", nobody),
		fmt.Sprintf("PID 1 of a namespace that is ending: waits for the last processes in it, traced (pid "+
			"%d)", nobody+4),
		fmt.Sprintf("held by its tracer gdb (pid %d)", nobody+7),
		"its main thread has ended, 1 other thread goes on; its thread w (tid 77) is uninterruptible in " +
			"nfs_wait_bit_killable (an NFS server does not answer)",
		"frozen by the v1 cgroup " + freezer + "/x: even SIGKILL waits until that is thawed",
	} {
		if s := all[i]; s.PID != nobody+i || s.Why != want {
			t.Errorf("got %+v\nwant %s", s, want)
		}
	}
}
