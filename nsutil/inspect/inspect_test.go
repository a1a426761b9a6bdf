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
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/signals"
)

// statTail is the end of a stat file.
var statTail = " 5 40 41" + strings.Repeat(" 0", 7) + " 31 12" + strings.Repeat(" 0", 6) + " 123456" + strings.Repeat(" 0", 29) + " 9\n"

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
	return newInspector(procfs.NewLimited(newProc, limit, total, maxLost), os.Getpid()).inspect(pid)
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

// Every verdict, in the order in which one wins over those below: each row holds what the one above
// it lacks.
func TestVerdict(t *testing.T) {
	term, kill := mask(unix.SIGTERM), mask(unix.SIGKILL)
	base := func(state, wchan string) Inspected {
		return Inspected{Process: Process{PID: 7, PPID: 3, UID: 5, Comm: "x", State: state, Threads: 1, WChan: wchan}, ParentComm: "sh", NSpid: []int{7}, hasMemory: true}
	}
	for _, tt := range []struct {
		name  string
		from  Inspected
		with  func(*Inspected)
		level level
		want  string
	}{
		{"main thread", base("Z", ""), func(p *Inspected) { p.Threads, p.Tracer = 3, 12 }, stuck, "its main thread has ended, 2 other threads go on"},
		{"main thread, one held", base("Z", ""), func(p *Inspected) {
			p.Threads, p.StuckThreads = 2, []StuckThread{{9, "w", "D", "request_wait_answer"}}
		}, stuck, "its main thread has ended, 1 other thread goes on; its thread w (tid 9) is uninterruptible in request_wait_answer (a FUSE file system does not answer)"},
		{"main thread of an init", base("Z", ""), func(p *Inspected) {
			p.NSpid, p.Threads, p.StuckThreads, p.waitsFor = []int{7, 1}, 2, []StuckThread{{9, "w", "S", "zap_pid_ns_processes"}}, "cat (pid 9)"
		}, stuck, "PID 1 of a namespace that is ending: waits for the last processes in it, cat (pid 9)"},
		{"zombie of a tracer", base("Z", ""), func(p *Inspected) { p.Tracer, p.TracerComm, p.PPID = 12, "gdb", 0 }, stuck, "dead, but its tracer gdb (pid 12) has not let go of it"},
		{"zombie from outside", base("Z", ""), func(p *Inspected) { p.PPID = 0 }, stuck, "dead, but its parent, outside this PID namespace, has not reaped it"},
		{"zombie", base("Z", ""), func(p *Inspected) { p.Ended, p.FrozenBy = "SIGKILL", "/f" }, stuck, "dead (SIGKILL), but its parent sh (pid 3) has not reaped it"},
		{"zombie of a stopped parent", base("Z", ""), func(p *Inspected) { p.parentState = 'T' }, stuck, "dead, but its parent sh (pid 3), which is stopped, has not reaped it"},
		{"dead", base("X", ""), nil, plain, "dead"},
		{"frozen", base("S", "do_freezer_trap"), func(p *Inspected) { p.FrozenBy = "/c/x" }, stuck, "frozen by the cgroup /c/x: only SIGKILL works until that is thawed"},
		{"frozen, v1", base("D", "do_wait"), func(p *Inspected) { p.FrozenBy, p.frozenV1 = "/c/x", true }, stuck, "frozen by the v1 cgroup /c/x: even SIGKILL waits until that is thawed"},
		{"frozen before stopped", base("T", ""), func(p *Inspected) { p.FrozenBy = "/c/x" }, stuck, "frozen by the cgroup /c/x: only SIGKILL works until that is thawed"},
		{"tracing stop", base("t", "ptrace_stop"), func(p *Inspected) { p.Tracer, p.TracerComm, p.Pending = 12, "gdb", kill }, stuck, "held by its tracer gdb (pid 12)"},
		{"tracer that is not seen", base("t", "ptrace_stop"), func(p *Inspected) { p.Tracer = 12 }, stuck, "held by its tracer (pid 12)"},
		{"group stop of a tracee", base("T", ""), func(p *Inspected) { p.Tracer, p.TracerComm = 12, "gdb" }, stuck, "held by its tracer gdb (pid 12)"},
		{"stopped, TERM pending", base("T", "do_signal_stop"), func(p *Inspected) { p.Pending = term }, stuck, "stopped by a signal (T): SIGTERM waits for SIGCONT; SIGKILL works"},
		{"stopped", base("T", "do_signal_stop"), func(p *Inspected) { p.Ignored, p.refused = term, true }, stuck, "stopped by a signal (T): needs SIGCONT; SIGKILL works"},
		{"frozen, cgroup unknown", base("S", "do_freezer_trap"), nil, stuck, "frozen by a cgroup: only SIGKILL works until that is thawed"},
		{"frozen, v1 cgroup unknown", base("D", "__refrigerator"), nil, stuck, "frozen by a v1 cgroup, or because the machine is suspended: even SIGKILL waits"},
		{"D, FUSE, KILL pending", base("D", "request_wait_answer"), func(p *Inspected) { p.Pending = kill }, stuck, "uninterruptible in request_wait_answer (a FUSE file system does not answer); SIGKILL is pending"},
		{"D, NFS", base("D", "rpc_wait_bit_killable"), nil, stuck, "uninterruptible in rpc_wait_bit_killable (an NFS server does not answer)"},
		{"D, disk", base("D", "folio_wait_bit_common"), func(p *Inspected) { p.kernel = true }, stuck, "uninterruptible in folio_wait_bit_common (a disk or a network file system is not done)"},
		{"D, unknown", base("D", "some_driver.isra.0"), func(p *Inspected) { p.refused = true }, stuck, "uninterruptible in some_driver"},
		{"D, nowhere", base("D", ""), nil, stuck, "uninterruptible in the kernel"},
		{"execve", base("S", ""), func(p *Inspected) { p.Hangs, p.refused = []string{"wchan"}, true }, stuck, "stuck in execve(2): what /proc says of it does not come"},
		{"execve, D", base("D", "pipe_read"), func(p *Inspected) { p.Hangs, p.Pending = []string{"stat"}, kill }, stuck, "stuck in execve(2): what /proc says of it does not come, in pipe_read for data from a pipe; SIGKILL is pending"},
		{"init that ends and reaps", base("S", "do_wait"), func(p *Inspected) { p.NSpid, p.hasMemory = []int{7, 1}, false }, stuck, "PID 1 of a namespace that is ending: waits for the last processes in it"},
		{"init that ends", base("S", "zap_pid_ns_processes"), func(p *Inspected) { p.NSpid, p.Pending, p.hasMemory = []int{7, 1}, kill, false }, stuck, "PID 1 of a namespace that is ending: waits for the last processes in it"},
		{"a thread", base("S", "futex_do_wait"), func(p *Inspected) {
			p.Threads, p.Pending, p.StuckThreads = 2, kill, []StuckThread{{9, "w", "D", "nfs_wait_bit_killable"}}
		}, stuck, "its thread w (tid 9) is uninterruptible in nfs_wait_bit_killable (an NFS server does not answer); SIGKILL is pending"},
		{"a traced thread", base("S", "futex_do_wait"), func(p *Inspected) {
			p.Threads, p.Tracer, p.TracerComm, p.StuckThreads = 2, 12, "strace", []StuckThread{{9, "w", "t", "ptrace_stop"}}
		}, stuck, "its thread w (tid 9) is held by the tracer strace (pid 12)"},
		{"core dump", base("S", "anon_pipe_write"), func(p *Inspected) { p.CoreDumping, p.Pending = true, kill }, stuck, "writing a core dump, and ends after that, in anon_pipe_write for a pipe to be read"},
		{"ending", base("S", "exit_mm"), func(p *Inspected) { p.Pending, p.hasMemory = kill, false }, stuck, "ending, in exit_mm"},
		{"KILL pending", base("R", ""), func(p *Inspected) { p.Pending, p.kernel = kill, true }, stuck, "SIGKILL is pending: ends as soon as it leaves the kernel"},
		{"kernel thread", base("I", "worker_thread"), func(p *Inspected) { p.kernel, p.hasMemory, p.refused, p.Ignored = true, false, true, ^SignalNames(0) }, plain, "a kernel thread"},
		{"another user's", base("S", ""), func(p *Inspected) { p.refused, p.Ignored = true, term }, wary, "another user's: uid 5, may not be signalled from here"},
		{"TERM blocked and pending", base("S", "do_wait"), func(p *Inspected) { p.Blocked, p.Pending, p.PID = term, term, 1 }, stuck, "blocks SIGTERM, and it is pending: only SIGKILL ends it"},
		{"init", base("S", "do_wait"), func(p *Inspected) { p.PID, p.NSpid, p.Ignored = 1, []int{1}, term }, wary, "PID 1 of its namespace: signals it does not catch are ignored; from inside even SIGKILL"},
		{"init below", base("S", "do_wait"), func(p *Inspected) { p.NSpid = []int{7, 1} }, wary, "PID 1 of its namespace: signals it does not catch are ignored; SIGKILL from out here works"},
		{"init that catches TERM", base("S", "do_wait"), func(p *Inspected) { p.NSpid, p.Caught = []int{7, 1}, term }, plain, "waiting in do_wait for a child"},
		{"ignores TERM", base("S", "do_wait"), func(p *Inspected) { p.Ignored, p.Blocked = term, term }, wary, "ignores SIGTERM; waiting in do_wait for a child"},
		{"ignores TERM, busy", base("R", ""), func(p *Inspected) { p.Ignored = term }, wary, "ignores SIGTERM"},
		{"blocks TERM", base("S", ""), func(p *Inspected) { p.Blocked = term }, wary, "blocks SIGTERM, unless it takes it by sigwait or signalfd; sleeping"},
		{"another thread may take TERM", base("S", ""), func(p *Inspected) { p.Blocked, p.Threads = term, 2 }, plain, "sleeping"},
		{"running", base("R", "do_wait"), nil, plain, "running"},
		{"idle", base("I", "x"), nil, plain, "idle"},
		{"waiting, unknown", base("S", "odd_wait.constprop.0"), nil, plain, "waiting in odd_wait"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := tt.from
			if tt.with != nil {
				tt.with(&p)
			}
			if l, got := p.verdict(); got != tt.want || l != tt.level {
				t.Errorf("got %d %q\nwant %d %q", l, got, tt.level, tt.want)
			}
		})
	}
}

func TestInspect(t *testing.T) {
	f := newFixture(t)
	self := os.Getpid()
	f.add(1, 0, "init", false)
	f.add(10, 1, "sh\x1b\n", false)
	f.more(10, "NSpid:\t10\t1\nSigCgt:\t0000000000014002\nSigBlk:\t0000000400000000\n", map[string]string{"cgroup": "1:pids:/x\n0::/\n", "stack": "[<0>] do_wait+0x1\n"})
	f.add(11, 10, "gone", false)
	f.more(11, "State:\tZ (zombie)\n", map[string]string{"stat": fmt.Sprintf("11 (gone) Z%s", strings.Replace(statTail, " 5 ", " 10 ", 1))})
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
		"task/30/status": "State:\tD\n", "task/31/status": "Name:\tw\nState:\tD (disk sleep)\n", "task/31/wchan": "request_wait_answer", "task/32/status": "State:\tS\n",
	})

	all := f.mustInspect(0)
	var order []int
	for _, p := range all.Processes {
		order = append(order, p.PID)
	}
	if want := []int{1, 10, 11, 12, 13, 14, 30, 22}; !reflect.DeepEqual(order, want) || all.KernelThreads != 2 {
		t.Errorf("got %v, %d kernel threads; want %v, 2", order, all.KernelThreads, want)
	}
	for pid, want := range map[int]string{
		11: "dead (SIGKILL), but its parent sh\x1b (pid 10) has not reaped it",
		13: "held by its tracer gdb (pid 14)",
		22: "uninterruptible in do_wait for a child",
		30: "its thread w (tid 31) is uninterruptible in request_wait_answer (a FUSE file system does not answer)",
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
	if p.ParentComm != "init" || !reflect.DeepEqual(p.NSpid, []int{10, 1}) || p.Cgroup != "/x" || !reflect.DeepEqual(p.Stack, []string{"do_wait+0x1"}) || p.AgeMS == 0 || p.Stuck {
		t.Errorf("got %+v", p)
	}
	if got := p.Caught.String() + "; " + p.Blocked.String(); got != "INT TERM CHLD; RTMIN+1" {
		t.Errorf("got %s", got)
	}
	text, err := one.JSON()
	if err != nil || !bytes.Contains(text, []byte(`"caught":["SIGINT","SIGTERM","SIGCHLD"]`)) || bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("%s, %v", text, err)
	}

	for pid, want := range map[int]string{self: "this is finite itself", nobody: "no such process"} {
		if _, err := f.inspect(pid, long, time.Minute); err == nil || err.Error() != want {
			t.Errorf("%d: %v, want %s", pid, err, want)
		}
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
	in := newInspector(procfs.NewLimited(procfs.NewProc, long, time.Minute, maxLost), os.Getpid())
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
	if text := r.Text(text.Style{}); !strings.Contains(text, "does not answer: /proc/11/wchan") || !strings.HasSuffix(text, "not everything could be read in time\n") {
		t.Errorf("got\n%s", text)
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
	in := newInspector(f.reader(long, maxLost), os.Getpid())
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
		"1 0 0:1 / %s rw - cgroup2 c rw\n2 0 0:2 / %s/pids rw - cgroup c rw,pids\n3 0 0:3 /docker %s/freezer rw - cgroup c rw,freezer\n4 0 0:4 / %s rw - proc p rw,gid=77777,hidepid=invisible\n",
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
	for pid, text := range map[int]string{10: "0::/a/b\n", 11: "0::/a/c\n", 12: "0::/\n7:pids:/x\n6:freezer:/docker/x/y\n", 13: "0::/../x\n", 14: "0::/a/b\n", 15: ""} {
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
		10: {"/a/b", v2 + "/a"}, 11: {"/a/c", v2 + "/a"}, 12: {"/x", v1 + "/freezer/x"}, 13: {"/../x", ""}, 15: {"", ""},
	} {
		if p := r.get(t, pid); p.Cgroup != want[0] || p.FrozenBy != want[1] || p.frozenV1 != (pid == 12) {
			t.Errorf("%d: %q, frozen by %q; want %q", pid, p.Cgroup, p.FrozenBy, want)
		}
	}
	if want := map[bool]string{false: "invisible", true: ""}[mayTrace()]; r.HidePID != want {
		t.Errorf("hidepid=%q, want %q", r.HidePID, want)
	}
}

// sample has a tree of some depth and everything that the summary says.
func sample() *Inspection {
	r := &Inspection{
		Schema: Schema, At: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC), PID: 10,
		PIDLimits:     []PIDLimit{{Dir: "/c", Max: 100, Current: 95, Zombies: 7, Refused: 1, NearlyFull: true}, {Dir: "/d", Max: 9, Current: 1}},
		KernelThreads: 2, Unreadable: 1, HidePID: "invisible", Left: 4, Incomplete: true,
	}
	add := func(pid, ppid, depth int, comm, state string, l level, verdict string) *Inspected {
		r.Processes = append(r.Processes, Inspected{
			Process: Process{PID: pid, PPID: ppid, Comm: comm, State: state, Threads: 1, Depth: depth, Timed: true, Age: 61 * time.Second}, Verdict: verdict, level: l, Stuck: l == stuck,
		})
		return &r.Processes[len(r.Processes)-1]
	}
	root := add(10, 1, 0, "sh", "S", plain, "waiting in do_wait for a child")
	root.Caught, root.Blocked, root.Ignored = mask(unix.SIGTERM), ^mask(unix.SIGKILL, unix.SIGSTOP, unix.SIGHUP), ^SignalNames(0)
	cat := add(11, 10, 1, "日本\x1b", "D", stuck, "uninterruptible in request_wait_answer (a FUSE file system does not answer)")
	cat.Stack = []string{"request_wait_answer+0x1/0x2", "fuse_read+0x1/0x2", "do_syscall_64+0x1/0x2", "entry+0x1/0x2"}
	cat.StuckThreads = []StuckThread{{5, "w", "D", "f"}, {6, "w", "D", "f"}, {7, "w", "D", "f"}, {8, "w", "D", "f"}, {9, "w", "D", "f"}, {10, "w", "D", "f"}}
	cat.ParentComm, cat.NSpid, cat.Tracer, cat.Cgroup, cat.Hangs = "sh", []int{11, 2, 1}, 3, "/x", []string{"stat"}
	add(12, 11, 2, "below", "S", wary, "ignores SIGTERM")
	zombies := Unreaped{Parent: 10, Comm: "sh"}
	for pid := 20; pid < 27; pid++ {
		add(pid, 10, 1, "z", "Z", stuck, "dead, but its parent sh (pid 10) has not reaped it")
		zombies.PIDs = append(zombies.PIDs, pid)
	}
	r.Zombies = []Unreaped{zombies, {PIDs: []int{3}}}
	add(30, 10, 1, "last", "R", plain, "running")
	return r
}

func TestInspectText(t *testing.T) {
	const want = `    PID S COMMAND      WHY IT HAS NOT ENDED
     10 S sh           waiting in do_wait for a child
          |      uid 0, parent (pid 1), age 1m1s, cpu 0s
          |      signals: blocked all but HUP; ignored all; caught TERM
     11 D |- ???       uninterruptible in request_wait_answer (a FUSE file system does not answer)
          |  |      uid 0, parent sh (pid 10), pid inside 2 1, tracer (pid 3), age 1m1s, cpu 0s, cgroup /x
          |  |      thread 5 D w, in f
          |  |      thread 6 D w, in f
          |  |      thread 7 D w, in f
          |  |      thread 8 D w, in f
          |  |      thread 9 D w, in f
          |  |      1 more thread like these
          |  |      stack: request_wait_answer < fuse_read
          |  |      does not answer: /proc/11/stat
     12 S |  ` + "`- below" + `  ignores SIGTERM
     20 Z |- z         dead, but its parent sh (pid 10) has not reaped it
     21 Z |- z         dead, but its parent sh (pid 10) has not reaped it
     22 Z |- z         dead, but its parent sh (pid 10) has not reaped it
      - Z |- and 4 more zombies
     30 R ` + "`- last      " + `running
stuck: 8 of 11 processes
sh (pid 10) has not reaped 7 zombies
a parent outside this PID namespace has not reaped 1 zombie
pids: 95 of 100 in /c, 7 zombies among them: nearly full, and fork was refused 1 time
pids: 1 of 9 in /d
left out: 2 kernel threads
may not be read: 1 process
/proc hides processes of other users (hidepid=invisible): there may be more
and 4 more
not everything could be read in time
`
	r := sample()
	checkSchema(t, r)
	if got := r.Text(text.Style{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	drawn := r.Text(text.Style{Unicode: true})
	for _, line := range []string{"     11 D ├─ 日本?", "          │  │", "     12 S │  └─ below", "     30 R └─ last"} {
		if !strings.Contains(drawn, line) {
			t.Errorf("no %q in\n%s", line, drawn)
		}
	}
	if got := r.Text(text.Style{Details: true}); strings.Count(got, "uid 0, parent") != 7 { // of everybody who has a line
		t.Errorf("got\n%s", got)
	}
	coloured := r.Text(text.Style{Colour: true})
	if strings.Count(coloured, "\x1b[31m") != 9 || strings.Count(coloured, "\x1b[33m") != 5 {
		t.Errorf("got\n%q", coloured)
	}
	if plain := strings.NewReplacer("\x1b[31m", "", "\x1b[33m", "", "\x1b[0m", "").Replace(coloured); plain != want {
		t.Errorf("without the colours, it is\n%s", plain)
	}
}

// No line is wider than the terminal, whatever it holds; and where there is room, nothing is lost.
func TestInspectTextWidth(t *testing.T) {
	r := sample()
	r.Processes[1].Cgroup = "/" + strings.Repeat("long", 40)
	words := strings.Fields(strings.NewReplacer("│", "", "├─", "", "└─", "").Replace(r.Text(text.Style{Unicode: true})))
	for width := 1; width < 150; width++ {
		for _, unicode := range []bool{true, false} {
			written := r.Text(text.Style{Width: width, Unicode: unicode})
			for line := range strings.Lines(written) {
				if n := text.Width(strings.TrimSuffix(line, "\n")); n > width || !utf8.ValidString(line) {
					t.Fatalf("%d columns of %d: %q", n, width, line)
				}
			}
			if width >= 60 && unicode {
				squeezed := strings.NewReplacer("│", "", "├─", "", "└─", "", " ", "", "\n", "").Replace(written)
				for _, word := range words {
					if !strings.Contains(squeezed, word) && len(word) < 60 {
						t.Errorf("width %d: %q is lost in\n%s", width, word, written)
					}
				}
			}
		}
	}
}
