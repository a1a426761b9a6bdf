package inspect

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/signals"
)

// statTail is the end of a stat file.
var statTail = " 5 40 41" + strings.Repeat(" 0", 7) + " 31 12" + strings.Repeat(" 0", 6) + " 123456" +
	strings.Repeat(" 0", 29) + " 9\n"

// more writes lines behind a process's status, or other files of it.
func (f *fixture) more(pid int, status string, files map[string]string) {
	f.t.Helper()
	dir := filepath.Join(f.root, fmt.Sprint(pid))
	old, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		f.t.Fatal(err)
	}
	all := map[string]string{"status": string(old) + status} // the last line of a name counts
	maps.Copy(all, files)
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
}

// nobody is a number that is too high for a PID.
const nobody = 1<<22 + 1

// withoutMemory makes a process look as one on its way out does.
func (f *fixture) withoutMemory(pid int) {
	f.t.Helper()
	path := filepath.Join(f.root, fmt.Sprint(pid), "status")
	text, err := os.ReadFile(path)
	if err != nil {
		f.t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("VmRSS:\t  12 kB\n"), nil)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// hang makes a file of a process's that does not answer until the test ends.
func (f *fixture) hang(pid int, name string) {
	f.t.Helper()
	path := filepath.Join(f.root, fmt.Sprint(pid), name)
	_ = os.Remove(path)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		f.t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0) // with a writer, opening does not wait, but reading does
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { w.Close() })
}

func (f *fixture) inspect(pid int, limit, total time.Duration) (*Inspection, error) {
	newProc := func() *procfs.Proc { return procAt(f.root) }
	return newInspector(linux{}, procfs.NewLimited(newProc, limit, total, maxLost), os.Getpid()).inspect(pid)
}

func (f *fixture) mustInspect(pid int) *Inspection {
	f.t.Helper()
	r, err := f.inspect(pid, long, time.Minute)
	if err != nil {
		f.t.Fatal(err)
	}
	if r.Incomplete {
		f.t.Error("not everything was read")
	}
	checkSchema(f.t, r)
	return r
}

// get returns what is said of a process.
func (r *Inspection) get(t *testing.T, pid int) Inspected {
	t.Helper()
	for _, p := range r.Processes {
		if p.PID == pid {
			return p
		}
	}
	t.Fatalf("%d is missing in %+v", pid, r.Processes)
	return Inspected{}
}

func checkSchema(t *testing.T, r *Inspection) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/inspect.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
}

func mask(sigs ...unix.Signal) SignalNames { return SignalNames(signals.SetOf(sigs...)) }

func TestInspect(t *testing.T) {
	f := newFixture(t)
	self := os.Getpid()
	f.add(1, 0, "init", false)
	f.add(10, 1, "sh\x1b\n", false)
	f.more(10, "NSpid:\t10\t1\nSigCgt:\t0000000000014002\nSigBlk:\t0000000400000000\n", map[string]string{
		"cgroup": "1:pids:/x\n0::/\n", "stack": "[<0>] do_wait+0x1\n",
	})
	f.add(11, 10, "gone", false)
	f.more(11, "State:\tZ (zombie)\n", map[string]string{
		"stat": "11 (gone) Z" + strings.Replace(statTail, " 5 ", " 10 ", 1),
	})
	f.add(12, 10, "gone", false)
	f.more(12, "State:\tZ (zombie)\n", nil)
	f.add(13, 12, "traced", false)
	f.more(13, "State:\tt (tracing stop)\nTracerPid:\t14\n", nil)
	f.add(14, 1, "gdb", false)
	f.add(20, 2, "kworker", false)
	f.more(20, "Kthread:\t1\n", nil)
	f.add(21, 2, "old kworker", false)
	f.more(21, "SigIgn:\tffffffffffffffff\n", nil)
	f.add(22, 2, "kworker/D", false)
	f.more(22, "Kthread:\t1\nState:\tD (disk sleep)\n", nil)
	f.add(30, 1, "many", false)
	f.more(30, "Threads:\t3\n", map[string]string{
		"task/30/status": "State:\tD\n", "task/31/status": "Name:\tw\nState:\tD (disk sleep)\n",
		"task/31/wchan": "request_wait_answer", "task/32/status": "State:\tS\n",
	})

	all := f.mustInspect(0)
	var order []int
	for _, p := range all.Processes {
		order = append(order, p.PID)
	}
	if want := []int{1, 10, 11, 12, 13, 14, 30, 22}; !reflect.DeepEqual(order, want) ||
		all.KernelThreads != 2 {
		t.Errorf("got %v, %d kernel threads; want %v, 2", order, all.KernelThreads, want)
	}
	for pid, want := range map[int]string{
		11: "dead (SIGKILL), but its parent sh\x1b (pid 10) has not reaped it",
		13: "held by its tracer gdb (pid 14)",
		22: "uninterruptible in do_wait for a child",
		30: "its thread w (tid 31) is uninterruptible in request_wait_answer " +
			"(a FUSE file system does not answer)",
	} {
		if got := all.get(t, pid).Verdict; got != want {
			t.Errorf("%d: got %q, want %q", pid, got, want)
		}
	}
	if want := []Unreaped{{10, "sh\x1b", []int{11, 12}}}; !reflect.DeepEqual(all.Zombies, want) {
		t.Errorf("zombies: %+v", all.Zombies)
	}

	one := f.mustInspect(10)
	if len(one.Processes) != 4 || one.PID != 10 {
		t.Errorf("the tree of 10: %+v", one.Processes)
	}
	p := one.get(t, 10)
	if p.ParentComm != "init" || !reflect.DeepEqual(p.NSpid, []int{10, 1}) || p.Cgroup != "/x" ||
		!reflect.DeepEqual(p.Stack, []string{"do_wait+0x1"}) || p.AgeMS == 0 || p.Stuck {
		t.Errorf("got %+v", p)
	}
	if got := p.Caught.String() + "; " + p.Blocked.String(); got != "INT TERM CHLD; RTMIN+1" {
		t.Errorf("got %s", got)
	}
	text, err := one.JSON()
	if err != nil || !bytes.Contains(text, []byte(`"caught":["SIGINT","SIGTERM","SIGCHLD"]`)) ||
		bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("%s, %v", text, err)
	}

	for pid, want := range map[int]string{self: "this is finite itself", nobody: "no such process"} {
		if _, err := f.inspect(pid, long, time.Minute); err == nil || err.Error() != want {
			t.Errorf("%d: %v, want %s", pid, err, want)
		}
	}
}

// A parent that is left out is named all the same.
func TestInspectParentLeftOut(t *testing.T) {
	f := newFixture(t)
	self := os.Getpid()
	f.add(nobody, self, "gone", false)
	f.more(nobody, "State:\tZ (zombie)\n", nil)
	want := fmt.Sprintf("dead, but its parent self (pid %d) has not reaped it", self)
	if p := f.mustInspect(0).get(t, nobody); p.Verdict != want {
		t.Errorf("got %q, want %q", p.Verdict, want)
	}
}

// A number that is not listed is there all the same: a thread's.
func TestInspectThread(t *testing.T) {
	tids := make(chan int)
	done := make(chan struct{})
	defer close(done)
	for range 2 { // one of them may be the first thread
		go func() {
			runtime.LockOSThread()
			tids <- unix.Gettid()
			<-done
		}()
	}
	tid := max(<-tids, <-tids)
	in := newInspector(linux{}, procfs.NewLimited(procfs.NewProc, long, time.Minute, maxLost), os.Getpid())
	want := fmt.Sprintf("it is a thread of process %d", os.Getpid())
	if _, err := in.inspect(tid); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What hangs keeps nothing else from being read, and the more hangs, the less is tried.
func TestInspectDoesNotHang(t *testing.T) {
	f := newFixture(t)
	f.add(1, 0, "init", false)
	for pid := 10; pid < 16; pid++ {
		f.add(pid, 1, "stuck", false)
		f.hang(pid, []string{"stat", "wchan"}[pid%2])
	}
	f.add(16, 1, "last", false)
	f.more(16, "State:\tD\n", map[string]string{"stack": "[<0>] f\n"})
	begin := time.Now()
	r, err := f.inspect(0, 20*time.Millisecond, time.Minute)
	if err != nil || !r.Incomplete || len(r.Processes) != 8 {
		t.Fatalf("%+v, %v", r, err)
	}
	checkSchema(t, r)
	if took := time.Since(begin); took > long {
		t.Errorf("it took %v", took)
	}
	hung := 0
	for _, p := range r.Processes {
		hung += len(p.Hangs)
	}
	if hung != maxLost {
		t.Errorf("%d reads were given up, want %d", hung, maxLost)
	}
	written := r.Text(text.Style{})
	if !strings.Contains(written, "does not answer: /proc/11/wchan") ||
		!strings.HasSuffix(written, "not everything could be read in time\n") {
		t.Errorf("got\n%s", written)
	}

	// What never hangs, if it does: the rest is there.
	f.hang(12, "status")
	r, err = f.inspect(0, 20*time.Millisecond, time.Minute)
	if err != nil || !r.Incomplete || len(r.Processes) != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := f.inspect(12, 20*time.Millisecond, time.Minute); err == nil {
		t.Error("12 does not answer, and is inspected")
	}
	// And for all reads together there is a limit.
	if r, err := f.inspect(0, time.Minute, 100*time.Millisecond); err != nil || !r.Incomplete {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestInspectIsBounded(t *testing.T) {
	var pids []int
	for i := range maxInspected + 5 {
		pids = append(pids, nobody+i)
	}
	f := newFixture(t)
	in := newInspector(linux{}, f.reader(long, maxLost), os.Getpid())
	if in.describeAll(pids); in.result.Left != 5 || in.result.Unreadable != 0 {
		t.Errorf("got %+v", in.result)
	}
}

func TestInspectWithoutProc(t *testing.T) {
	f := &fixture{t, t.TempDir()}
	if _, err := f.inspect(0, long, time.Minute); err != procfs.ErrNoProc {
		t.Errorf("got %v", err)
	}
}

// The limits of a cgroup and of those above it, each once; and who has frozen it.
func TestInspectCgroups(t *testing.T) {
	v2, v1 := t.TempDir(), t.TempDir()
	f := newFixture(t)
	self := os.Getpid()
	f.more(self, "", map[string]string{"mountinfo": fmt.Sprintf(
		"1 0 0:1 / %s rw - cgroup2 c rw\n"+
			"2 0 0:2 / %s/pids rw - cgroup c rw,pids\n"+
			"3 0 0:3 /docker %s/freezer rw - cgroup c rw,freezer\n"+
			"4 0 0:4 / %s rw - proc p rw,gid=77777,hidepid=invisible\n",
		v2, v1, v1, f.root)})
	put := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(v2+"/a/pids.max", "10\n")
	put(v2+"/a/pids.current", "9\n")
	put(v2+"/a/pids.events", "max 4\n")
	put(v2+"/a/b/pids.max", "max\n")
	put(v2+"/a/b/cgroup.freeze", "0\n")
	put(v2+"/a/c/pids.max", "100\n")
	put(v2+"/a/c/pids.current", "89\n")
	put(v2+"/a/cgroup.freeze", "1\n")
	put(v1+"/pids/x/pids.max", "3\n")
	put(v1+"/pids/x/pids.current", "1\n")
	put(v1+"/freezer/x/freezer.self_freezing", "1\n")

	f.add(1, 0, "init", false)
	for pid, text := range map[int]string{
		10: "0::/a/b\n", 11: "0::/a/c\n", 12: "0::/\n7:pids:/x\n6:freezer:/docker/x/y\n", 13: "0::/../x\n",
		14: "0::/a/b\n", 15: "",
	} {
		f.add(pid, 1, "p", false)
		f.more(pid, "", map[string]string{"cgroup": text})
	}
	f.more(14, "State:\tZ\n", nil)
	r := f.mustInspect(0)
	want := []PIDLimit{
		{Dir: v2 + "/a", Max: 10, Current: 9, Zombies: 1, Refused: 4, NearlyFull: true},
		{Dir: v2 + "/a/c", Max: 100, Current: 89},
		{Dir: v1 + "/pids/x", Max: 3, Current: 1},
	}
	if !reflect.DeepEqual(r.PIDLimits, want) {
		t.Errorf("got  %+v\nwant %+v", r.PIDLimits, want)
	}
	for pid, want := range map[int][2]string{
		10: {"/a/b", v2 + "/a"}, 11: {"/a/c", v2 + "/a"}, 12: {"/x", v1 + "/freezer/x"}, 13: {"/../x", ""},
		15: {"", ""},
	} {
		if p := r.get(t, pid); p.Cgroup != want[0] || p.FrozenBy != want[1] || p.frozenV1 != (pid == 12) {
			t.Errorf("%d: %q, frozen by %q; want %q", pid, p.Cgroup, p.FrozenBy, want)
		}
	}
	if want := map[bool]string{false: "invisible", true: ""}[mayTrace()]; r.HidePID != want {
		t.Errorf("hidepid=%q, want %q", r.HidePID, want)
	}
}
