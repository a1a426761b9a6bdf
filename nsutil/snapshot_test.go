package nsutil

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fixture is a /proc of the test's own, which shows this process and whatever is added.
type fixture struct {
	t    *testing.T
	root string
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t, t.TempDir()}
	self := os.Getpid()
	if err := os.Symlink(fmt.Sprint(self), filepath.Join(f.root, "self")); err != nil {
		t.Fatal(err)
	}
	f.add(self, 1, "self", true)
	return f
}

// add adds a process of one thread. Without lists, there is no file of its children, as in a kernel without CONFIG_PROC_CHILDREN.
func (f *fixture) add(pid, ppid int, name string, lists bool, children ...int) {
	f.t.Helper()
	dir := filepath.Join(f.root, fmt.Sprint(pid))
	task := filepath.Join(dir, "task", fmt.Sprint(pid))
	if err := os.MkdirAll(task, 0o755); err != nil {
		f.t.Fatal(err)
	}
	files := map[string]string{
		"status": fmt.Sprintf("Name:\t%s\nState:\tS (sleeping)\nPPid:\t%d\nUid:\t7\t7\t7\t7\nNSpid:\t%d\nVmRSS:\t  12 kB\nThreads:\t1\n", name, ppid, pid),
		"wchan":  "do_wait",
		"stat":   fmt.Sprintf("%d (%s) S %d 1 1 0 0 0 0 0 0 0 150 50 0 0 0 0 1 0 100\n", pid, name, ppid),
	}
	_ = os.Remove(filepath.Join(task, "children"))
	if lists {
		files["task/"+fmt.Sprint(pid)+"/children"] = strings.Trim(fmt.Sprint(children), "[]") + " "
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) snapshot(role Role, limit time.Duration) (Snapshot, error) {
	return takeSnapshot(&collector{role: role, proc: &Proc{root: f.root, buf: make([]byte, 64), dir: make([]byte, 1<<10)}, root: os.Getpid(), self: os.Getpid()}, limit)
}

// outline is "name name" with as many dots in front of each as it is deep.
func outline(s *Snapshot) string {
	var words []string
	for _, p := range s.Processes {
		words = append(words, strings.Repeat(".", p.Depth)+p.Comm)
	}
	return strings.Join(words, " ")
}

func TestSnapshotOrder(t *testing.T) {
	for name, lists := range map[string]bool{"lists of children": true, "without CONFIG_PROC_CHILDREN": false} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			self := os.Getpid()
			f.add(self, 1, "self", lists, 12, 10)
			f.add(1, 0, "init", lists, self, 90)
			f.add(90, 1, "stranger", lists)
			f.add(10, self, "first", lists, 30, 11)
			f.add(11, 10, "below", lists)
			f.add(30, 10, "late", lists, 31)
			f.add(31, 30, "deep", lists)
			f.add(12, self, "second", lists)
			s, err := f.snapshot(RoleSubreaper, time.Minute)
			if err != nil || s.Cut || s.Left != 0 {
				t.Fatalf("%+v, %v", s, err)
			}
			want := map[string]bool{"second first .late ..deep .below": true, "first .below .late ..deep second": true}
			if got := outline(&s); !want[got] {
				t.Errorf("got %q", got)
			}
			p := s.Processes[0]
			if p.UID != 7 || p.RSSKB != 12 || p.WChan != "do_wait" || p.State != "S" || !p.Timed || p.CPU != 2*time.Second || p.Age == 0 {
				t.Errorf("got %+v", p)
			}
		})
	}
	t.Run("PID 1", func(t *testing.T) {
		f := newFixture(t)
		f.add(90, 0, "from outside", false)
		f.add(91, 90, "its child", false)
		s, err := f.snapshot(RoleInit, time.Minute)
		if got := outline(&s); err != nil || got != "from outside .its child" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// A process that is stuck in execve(2) keeps whoever reads its times, or where it sleeps: the snapshot comes all the same, and has everybody in it.
func TestSnapshotDoesNotHang(t *testing.T) {
	for _, file := range []string{"stat", "wchan"} {
		f := newFixture(t)
		self := os.Getpid()
		f.add(self, 1, "self", true, 10, 11)
		f.add(10, self, "stuck", true)
		f.add(11, self, "other", true)
		f.hang(10, file)
		s, err := f.snapshot(RoleSubreaper, 50*time.Millisecond)
		if got := outline(&s); err != nil || got != "stuck other" || !s.Cut || s.Processes[0].Timed {
			t.Errorf("%s: got %q, %+v, %v", file, got, s, err)
		}
		if text := s.Table(); !strings.Contains(text, "not everything was read in time") {
			t.Errorf("%s: got %q", file, text)
		}
	}
}

func TestSnapshotIsBounded(t *testing.T) {
	f := newFixture(t)
	for i := range maxDescribed + 5 {
		f.add(100000+i, 1, "many", false)
	}
	f.add(1, 0, "init", false)
	s, err := f.snapshot(RoleInit, time.Minute)
	if err != nil || len(s.Processes) != maxDescribed || s.Left != 6 {
		t.Fatalf("%d and %d, %v", len(s.Processes), s.Left, err)
	}
	if text := s.Table(); !strings.HasSuffix(text, "\nand 6 more\n") {
		t.Errorf("got %q", text[len(text)-50:])
	}
}

func TestSnapshotWithoutProc(t *testing.T) {
	c := &collector{proc: &Proc{root: t.TempDir()}, root: os.Getpid(), self: os.Getpid()}
	if _, err := takeSnapshot(c, time.Minute); err != ErrNoProc {
		t.Errorf("got %v", err)
	}
}

func TestTakeSnapshot(t *testing.T) {
	c := exec.Command("sh", "-c", "sleep 1000 & echo ready; wait")
	c.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Kill(-c.Process.Pid, unix.SIGKILL); _ = c.Wait() }()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	s, err := TakeSnapshot(RoleSubreaper, nil, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range s.Processes {
		if p.PID == c.Process.Pid {
			if p.Comm != "sh" || p.PPID != os.Getpid() || p.RSSKB == 0 || i+1 == len(s.Processes) || s.Processes[i+1].PPID != p.PID {
				t.Errorf("got %+v", s.Processes)
			}
			return
		}
	}
	t.Errorf("the shell is missing: %+v", s.Processes)
}

func TestPrintable(t *testing.T) {
	if got := Printable("a\x1b[31m\nb\x7f\u0085é\xff\u2028\u202e "); got != "a?[31m?b??é??? " {
		t.Errorf("got %q", got)
	}
}

// Who is left is named, whatever hangs, with the reason as far as it is known.
func TestFindSurvivors(t *testing.T) {
	f := newFixture(t)
	self := os.Getpid()
	f.add(self, 1, "self", true, 11, 10, 12)
	f.add(10, self, "stuck", true)
	f.add(11, self, "other", true)
	f.add(12, self, "third", true)
	for _, name := range []string{"10/wchan", "10/stat"} {
		path := filepath.Join(f.root, name)
		_ = os.Remove(path)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status := filepath.Join(f.root, "10", "status")
	text, err := os.ReadFile(status)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(status, []byte(strings.Replace(string(text), "S (sleeping)", "D (disk sleep)", 1)), 0o644)
	_ = os.WriteFile(filepath.Join(f.root, "11", "stack"), []byte("[<0>] do_wait+0x1/0x2\n"), 0o644)
	c := &collector{proc: &Proc{root: f.root, buf: make([]byte, 64), dir: make([]byte, 1<<10)}, root: self, self: self, stacks: true}
	all, err := findSurvivors(c, 50*time.Millisecond)
	if err != nil || len(all) != 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	runtime.GC() // the reader that hangs keeps nobody
	for i, want := range []struct{ comm, why string }{
		{"stuck", "in uninterruptible sleep in the kernel"},
		{"other", "still ending"},
		{"third", "still ending"},
	} {
		s := all[i]
		// A number of the fixture may be a process of another user's.
		if s.PID != 10+i || s.Comm != want.comm || s.Why != want.why && !strings.HasPrefix(s.Why, "belongs to uid") {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
	if len(all[1].Stack) != 1 {
		t.Errorf("the stack: %v", all[1].Stack)
	}
	w, err := os.OpenFile(filepath.Join(f.root, "10", "wchan"), os.O_WRONLY, 0) // the reader goes on
	if err == nil {
		_ = w.Close()
		w, err = os.OpenFile(filepath.Join(f.root, "10", "stat"), os.O_RDWR, 0)
	}
	if err == nil {
		_ = w.Close()
	}
}
