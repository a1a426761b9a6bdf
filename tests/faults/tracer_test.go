//go:build amd64

package faults

import (
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// Kinds of finite's processes.
const (
	asFront      = "front"
	asKeeper     = "keeper"
	asPlanner    = "planner"
	asSupervisor = "supervisor"
	asHelper     = "helper"
	asChild      = "child" // becomes the command
)

// process is one of finite's own.
type process struct {
	pid   int
	kind  string
	named bool // it has given itself a name: a keeper is complete then
}

// task is a thread that is traced.
type task struct {
	tid     int
	of      *process
	pending bool // the result of its call is to be changed
}

// count is how often one kind of process has made one system call.
type count struct {
	Kind   string
	Number int
	Times  int
}

type countKey struct {
	kind   string
	number int
}

// tracer traces one run of finite.
type tracer struct {
	finite  string
	setting *setting
	target  *target // nil: this is a recording

	main   int  // the process that the observer has started
	begun  bool // it is finite
	woken  bool // it has had the SIGCONT of its start
	tasks  map[int]*task
	early  map[int]bool // new tasks whose parents have not told of them yet
	counts map[countKey]int
	child  bool // the process that becomes the command is there
	ended  bool // the main process has
	status int

	start  time.Time
	came   bool   // the call has
	object string // what the call was about
	hit    bool   // the fault has happened, and every task is let go at its next stop
	inTime bool   // it was before there can have been a deadline
	armed  bool   // finite has seen to the continuation of the process that is stopped
	stuck  bool   // nevertheless it was not continued
	victim *process
	held   *task // it is late
	ticker int   // a process that ends when a delay is over, or a stop; 0: there is none
}

// trace starts finite, and returns when the process that was started has ended.
func (t *tracer) trace(path string, args []string, attr *syscall.ProcAttr) {
	pid, err := startSeized(path, args, attr)
	cage.Must(err)
	t.main, t.start = pid, time.Now()
	t.begun = !t.setting.initial
	t.tasks = map[int]*task{pid: {tid: pid, of: &process{pid, t.setting.mainKind(), true}}}
	t.early, t.counts = map[int]bool{}, map[countKey]int{}
	for !t.ended {
		t.await(0)
	}
}

// await takes the next change of a process. It returns false where there is none (unix.WNOHANG).
func (t *tracer) await(options int) bool {
	var ws syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &ws, unix.WALL|options, nil)
	for err == syscall.EINTR {
		pid, err = syscall.Wait4(-1, &ws, unix.WALL|options, nil)
	}
	if options&unix.WNOHANG != 0 && (pid <= 0 || err != nil) {
		return false
	}
	cage.Must(err)
	t.take(pid, ws)
	return true
}

// reapTraced reaps the zombies that only this tracer keeps.
func (t *tracer) reapTraced() {
	for _, p := range cage.Everybody() {
		if p.State == "Z" && t.tasks[p.PID] != nil {
			_, _ = syscall.Wait4(p.PID, nil, unix.WALL|unix.WNOHANG, nil)
			delete(t.tasks, p.PID)
		}
	}
}

// everybody lists who is there besides the observer and its own.
func (t *tracer) everybody() []testkit.Process {
	return slices.DeleteFunc(cage.Everybody(), func(p testkit.Process) bool { return p.PID == t.ticker })
}

// outlast goes on after the main process has ended, until nobody is left or the time is over. It
// returns who is left then.
func (t *tracer) outlast(limit time.Duration) (left []testkit.Process) {
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		for t.await(unix.WNOHANG) {
		}
		if left = t.everybody(); len(left) == 0 || time.Since(begin) > limit {
			return left
		}
	}
}

// end ends whatever is left.
func (t *tracer) end() {
	_ = unix.Kill(-1, unix.SIGKILL)
	for t.ticker != 0 {
		t.await(0)
	}
}

// take deals with a change of a process.
func (t *tracer) take(pid int, ws syscall.WaitStatus) {
	switch {
	case ws.Exited() || ws.Signaled():
		delete(t.tasks, pid)
		delete(t.early, pid)
		if pid == t.main {
			t.ended, t.status = true, cage.Status(ws)
		}
		if pid == t.ticker {
			t.ticker = 0
			t.tick()
		}
	case ws.Stopped():
		switch k := t.tasks[pid]; {
		case k != nil:
			t.stop(k, ws)
		case t.hit:
			t.letGo(&task{tid: pid}, 0)
		default:
			t.early[pid] = true
		}
	}
}

// stop deals with a task that has stopped.
func (t *tracer) stop(k *task, ws syscall.WaitStatus) {
	sig := ws.StopSignal()
	event := int(ws) >> 16
	switch {
	case sig == unix.SIGTRAP|0x80:
		t.call(k)
	case event == unix.PTRACE_EVENT_FORK || event == unix.PTRACE_EVENT_VFORK || event == unix.PTRACE_EVENT_CLONE:
		t.forked(k)
		t.resume(k, 0)
	case event == unix.PTRACE_EVENT_EXEC:
		t.executed(k)
	case event == unix.PTRACE_EVENT_STOP && sig != unix.SIGTRAP && !t.woken:
		cage.Must(unix.Kill(k.tid, unix.SIGCONT)) // the stop of startSeized
		t.resume(k, 0)
	case event == unix.PTRACE_EVENT_STOP && sig != unix.SIGTRAP:
		if t.hit {
			t.letGo(k, 0)
			return
		}
		_ = ptrace(unix.PTRACE_LISTEN, k.tid, 0, 0)
	case event != 0:
		t.resume(k, 0)
	case sig == unix.SIGCONT && !t.woken:
		t.woken = true
		t.resume(k, 0)
	default:
		t.resume(k, sig)
	}
}

// resume has a task go on, to its next system call if there is a fault to come. Children of what
// runs before finite are of no interest.
func (t *tracer) resume(k *task, sig syscall.Signal) {
	switch {
	case t.hit && !k.pending, !t.begun && k.tid != t.main:
		t.letGo(k, sig)
	case !t.begun:
		_ = ptrace(unix.PTRACE_CONT, k.tid, 0, uintptr(sig))
	default:
		_ = ptrace(unix.PTRACE_SYSCALL, k.tid, 0, uintptr(sig))
	}
}

// letGo ends the tracing of a task.
func (t *tracer) letGo(k *task, sig syscall.Signal) {
	_ = ptrace(unix.PTRACE_DETACH, k.tid, 0, uintptr(sig))
	delete(t.tasks, k.tid)
}

// forked makes the child of a task known.
func (t *tracer) forked(k *task) {
	tid, err := syscall.PtraceGetEventMsg(k.tid)
	if err != nil {
		return
	}
	child := &task{tid: int(tid), of: k.of}
	if flags := cloneFlags(k.tid); flags&unix.CLONE_THREAD == 0 {
		child.of = &process{pid: int(tid), kind: kindOf(k.of, flags)}
		t.child = t.child || t.begun && child.of.kind == asChild
	}
	t.tasks[child.tid] = child
	if t.early[child.tid] {
		delete(t.early, child.tid)
		t.resume(child, 0)
	}
}

// kindOf says what the child of one of finite's processes is, by the flags of its clone. What makes
// namespaces for a keeper, and then the keeper itself, counts as one.
func kindOf(of *process, flags uint64) string {
	parent, sig := of.kind, flags&0xff
	switch {
	case flags&unix.CLONE_VM != 0 && flags&unix.CLONE_FILES != 0:
		return asHelper
	case parent == asFront && sig == 0:
		return asPlanner
	case parent == asFront, parent == asKeeper && !of.named:
		return asKeeper
	case parent == asKeeper && flags&unix.CLONE_VM == 0 && sig == 0:
		return asSupervisor
	case parent == asKeeper:
		return asChild // or a supervisor, which gives itself a name
	}
	return parent
}

// executed deals with a task that has executed a program: finite at the start, or the command.
func (t *tracer) executed(k *task) {
	if !t.begun {
		name, _ := os.Readlink("/proc/" + strconv.Itoa(k.tid) + "/exe")
		t.begun = name == t.finite
		t.resume(k, 0)
		return
	}
	t.letGo(k, 0)
}
