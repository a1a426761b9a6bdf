package inspect

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
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

// reader reads the fixture, until limit is over or so many reads are lost.
func (f *fixture) reader(limit time.Duration, most int) *procfs.Limited {
	return procfs.NewLimited(func() *procfs.Proc { return procAt(f.root) }, limit, limit, most)
}

// procAt reads a directory as if it were /proc.
func procAt(root string) *procfs.Proc {
	p := procfs.NewProc()
	p.Root = root
	return p
}

const long = 10 * time.Second

// add adds a process of one thread. Without lists, there is no file of its children, as in a kernel
// without CONFIG_PROC_CHILDREN.
func (f *fixture) add(pid, ppid int, name string, lists bool, children ...int) {
	f.t.Helper()
	dir := filepath.Join(f.root, fmt.Sprint(pid))
	task := filepath.Join(dir, "task", fmt.Sprint(pid))
	if err := os.MkdirAll(task, 0o755); err != nil {
		f.t.Fatal(err)
	}
	files := map[string]string{
		"status": fmt.Sprintf("Name:\t%s\nState:\tS (sleeping)\nPPid:\t%d\nUid:\t7\t7\t7\t7\nNSpid:\t%d\n"+
			"VmRSS:\t  12 kB\nThreads:\t1\n", name, ppid, pid),
		"wchan": "do_wait",
		"stat":  fmt.Sprintf("%d (%s) S %d 1 1 0 0 0 0 0 0 0 150 50 0 0 0 0 1 0 100\n", pid, name, ppid),
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

func (f *fixture) snapshot(role nsutil.Role, limit time.Duration) (Snapshot, error) {
	return takeSnapshot(linux{}, members{role: role, root: os.Getpid(), self: os.Getpid()}, f.reader(limit, 1))
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
	for name, lists := range map[string]bool{
		"lists of children": true, "without CONFIG_PROC_CHILDREN": false,
	} {
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
			s, err := f.snapshot(nsutil.RoleSubreaper, time.Minute)
			if err != nil || s.Cut || s.Left != 0 {
				t.Fatalf("%+v, %v", s, err)
			}
			want := map[string]bool{
				"second first .late ..deep .below": true, "first .below .late ..deep second": true,
			}
			if got := outline(&s); !want[got] {
				t.Errorf("got %q", got)
			}
			p := s.Processes[0]
			if p.UID != 7 || p.RSSKB != 12 || p.WChan != "do_wait" || p.State != "S" || !p.Timed ||
				p.CPU != 2*time.Second || p.Age == 0 {
				t.Errorf("got %+v", p)
			}
		})
	}
	t.Run("PID 1", func(t *testing.T) {
		f := newFixture(t)
		f.add(90, 0, "from outside", false)
		f.add(91, 90, "its child", false)
		s, err := f.snapshot(nsutil.RoleInit, time.Minute)
		if got := outline(&s); err != nil || got != "from outside .its child" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// A process that is stuck in execve(2) keeps whoever reads its times, or where it sleeps: the
// snapshot comes all the same, and has everybody in it.
func TestSnapshotDoesNotHang(t *testing.T) {
	for _, file := range []string{"stat", "wchan"} {
		f := newFixture(t)
		self := os.Getpid()
		f.add(self, 1, "self", true, 10, 11)
		f.add(10, self, "stuck", true)
		f.add(11, self, "other", true)
		f.hang(10, file)
		s, err := f.snapshot(nsutil.RoleSubreaper, 50*time.Millisecond)
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
	s, err := f.snapshot(nsutil.RoleInit, time.Minute)
	if err != nil || len(s.Processes) != maxDescribed || s.Left != 6 {
		t.Fatalf("%d and %d, %v", len(s.Processes), s.Left, err)
	}
	if text := s.Table(); !strings.HasSuffix(text, "\nand 6 more\n") {
		t.Errorf("got %q", text[len(text)-50:])
	}
}

func TestSnapshotWithoutProc(t *testing.T) {
	f := &fixture{t, t.TempDir()}
	if _, err := f.snapshot(nsutil.RoleSubreaper, time.Minute); err != procfs.ErrNoProc {
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
	var s Snapshot
	for range 2 { // the first is over when it has returned
		if s, err = TakeSnapshot(nsutil.RoleSubreaper, nil, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range s.Processes {
		if p.PID == c.Process.Pid {
			if p.Comm != "sh" || p.PPID != os.Getpid() || p.RSSKB == 0 || i+1 == len(s.Processes) ||
				s.Processes[i+1].PPID != p.PID {
				t.Errorf("got %+v", s.Processes)
			}
			return
		}
	}
	t.Errorf("the shell is missing: %+v", s.Processes)
}
