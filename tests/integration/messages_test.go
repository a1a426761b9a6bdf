package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// messageTracer is the debugger (ptrace(2)) of finite and of every process below it. It kills a
// supervisor at one of its messages. Its methods are called by one locked thread.
type messageTracer struct {
	finite int
	moment int // the moment of the kill, from 1
	passed int // moments so far
	calls  map[int]uint64

	mu   sync.Mutex
	live map[int]bool // threads
}

const syscallStop = unix.SIGTRAP | 0x80 // PTRACE_O_TRACESYSGOOD

// start starts a program that is traced from its first instruction.
func (tr *messageTracer) start(args []string, out *os.File, flags uintptr) (err error) {
	attr := &syscall.ProcAttr{
		Env: os.Environ(), Files: []uintptr{0, out.Fd(), out.Fd()},
		Sys: &syscall.SysProcAttr{Ptrace: true, Cloneflags: flags},
	}
	if tr.finite, err = syscall.ForkExec(args[0], args, attr); err != nil {
		return err
	}
	tr.calls, tr.live = map[int]uint64{}, map[int]bool{tr.finite: true}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(tr.finite, &ws, unix.WALL, nil); err != nil {
		return err
	}
	const options = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACEEXEC |
		unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACECLONE
	if err := unix.PtraceSetOptions(tr.finite, options); err != nil {
		return err
	}
	return unix.PtraceSyscall(tr.finite, 0)
}

// run returns how finite has ended, and who was alive then.
func (tr *messageTracer) run() (ws unix.WaitStatus, left []int, err error) {
	for {
		tid, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return ws, nil, err
		case ws.Stopped():
			_ = unix.PtraceSyscall(tid, int(tr.stopped(tid, ws))) // ESRCH: it was killed
		default:
			tr.mu.Lock()
			delete(tr.live, tid)
			tr.mu.Unlock()
			if tid == tr.finite {
				return ws, tr.alive(), nil
			}
		}
	}
}

// stopped returns the signal that a thread is to go on with.
func (tr *messageTracer) stopped(tid int, ws unix.WaitStatus) unix.Signal {
	tr.mu.Lock()
	known := tr.live[tid]
	tr.live[tid] = true
	tr.mu.Unlock()
	switch sig := ws.StopSignal(); {
	case sig == unix.SIGSTOP && !known, sig == unix.SIGTRAP: // a new thread, an event
		return 0
	case sig == syscallStop:
		tr.call(tid)
		return 0
	default:
		return sig
	}
}

// call counts the moments of a supervisor: before a message is sent, after it was sent, and after
// one was received.
func (tr *messageTracer) call(tid int) {
	var info struct { // ptrace_syscall_info of ptrace(2)
		op   uint8
		_    [23]byte
		word uint64 // the number at the entry, the result at the exit
		_    [7]uint64
	}
	_, _, e := unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO,
		uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if e != 0 {
		return
	}
	number, exit := info.word, info.op == unix.PTRACE_SYSCALL_INFO_EXIT
	if exit {
		number = tr.calls[tid]
	}
	tr.calls[tid] = number
	done := exit && int64(info.word) > 0
	if (number != unix.SYS_SENDMSG || exit && !done) && (number != unix.SYS_RECVMSG || !done) {
		return
	}
	if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", tid)); string(comm) != supervisorName+"\n" {
		return
	}
	if tr.passed++; tr.passed == tr.moment {
		group, _ := strconv.Atoi(statusField(tid, "Tgid"))
		_ = unix.Kill(group, unix.SIGKILL)
	}
}

// alive are those of the traced threads that are no zombies.
func (tr *messageTracer) alive() (pids []int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for tid := range tr.live {
		if state := statusField(tid, "State"); state != "" && state[0] != 'Z' && state[0] != 'X' {
			pids = append(pids, tid)
		}
	}
	return pids
}

// killAll kills every traced process.
func (tr *messageTracer) killAll() {
	for _, pid := range tr.alive() {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
}

var (
	onceStarted = regexp.MustCompile(`^started\n` +
		`(finite: killed \d+ process(es)? that the command had left\n){0,2}$`)
	plannerDied = regexp.MustCompile(`^finite: the planner (cannot run|was killed)\n$`)
)

// A supervisor that is killed at any of its messages, before or after it is sent or received,
// changes neither the end nor the status, nobody is left, and the report is complete. A line that
// it has written, but not told the keeper of, is written again by the next one.
func TestSupervisorIsKilledAtEachMessage(t *testing.T) {
	needRoot(t)
	const privateProc = `mount --make-rprivate / && mount -t proc proc /proc && exec "$@"`
	for name, tt := range map[string]struct {
		options []string
		init    bool
		reports bool
		plans   bool // a planner comes first: until the command is started, its death is a refusal
	}{
		"plain":               {options: []string{"-t", "1h", "-k", "0"}},
		"plain, init":         {options: []string{"-t", "1h", "-k", "0"}, init: true},
		"with a report":       {options: []string{"-k", "0"}, reports: true},
		"with a report, init": {options: []string{"-k", "0"}, init: true, reports: true},
		"in namespaces":       {options: []string{"-k", "0", "--unshare", "pid,mount"}, reports: true, plans: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			passed, again, refused := 0, 0, 0
			for moment := 1; moment <= passed+1; moment++ {
				dir := t.TempDir()
				report := filepath.Join(dir, "report.json")
				args := append([]string{finiteBin}, tt.options...)
				if tt.reports {
					args = append(args, "--report", report)
				}
				args = append(args, "--", "/bin/sh", "-c", "echo started; "+fugitives+"exit 3")
				var flags uintptr
				if tt.init {
					args, flags = append([]string{"/bin/sh", "-c", privateProc, "sh"}, args...),
						unix.CLONE_NEWPID|unix.CLONE_NEWNS
				}
				tr, ws, left, said := traceRun(t, moment, args, dir, flags)
				passed = max(passed, min(tr.passed, moment))
				if tt.plans && ws.ExitStatus() == 125 && plannerDied.MatchString(said) && len(left) == 0 {
					refused++
					continue
				}
				if ws.ExitStatus() != 3 || !onceStarted.MatchString(said) || len(left) > 0 {
					t.Errorf("at moment %d of %d: status %#x, left %v, said %q", moment, tr.passed, ws, left, said)
				}
				if tt.reports {
					if r := ended(t, report, "exited", 3); r.Supervisor.Starts > 1 {
						again++
					}
				}
			}
			if passed < 4 || tt.reports && again == 0 || tt.plans && refused == 0 {
				t.Errorf("a supervisor was killed at %d moments, %d reports tell of a second one", passed, again)
			}
			t.Logf("%d moments, %d reports tell of a second supervisor, %d refusals", passed, again, refused)
		})
	}
}

// traceRun runs finite under a tracer of its own thread, which ends with the function.
func traceRun(
	t *testing.T, moment int, args []string, dir string, flags uintptr,
) (tr *messageTracer, ws unix.WaitStatus, left []int, said string) {
	t.Helper()
	out, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	tr = &messageTracer{moment: moment}
	done := make(chan struct{})
	go func() { // the thread ends with it, and whoever is still traced
		defer close(done)
		runtime.LockOSThread()
		if err = tr.start(args, out, flags); err != nil {
			return
		}
		limit := time.AfterFunc(testkit.Stretched(20*time.Second), tr.killAll)
		defer limit.Stop()
		ws, left, err = tr.run()
	}()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return tr, ws, left, string(text)
}
