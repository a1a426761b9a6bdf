package effects

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/reap"
)

// A dead command can be unreapable: its tracer has the zombie first (ptrace(2)). The pidfd is
// readable all the same, and /proc/PID/stat has the status.

// heldTime is how long a command that has ended may take to be reaped before it is held to be held.
const heldTime = time.Second

// heldWatch watches for the end of the command beside the reaper.
type heldWatch struct {
	kernel Kernel
	post   func(machine.Event)
	spare  int // descriptors that others need more

	mu     sync.Mutex
	file   Watched
	timer  *time.Timer
	closed bool
}

// watch waits for a pidfd away from the owner. Without room for that, only a deadline sees such an
// end.
func (w *heldWatch) watch(pid, pidfd int) {
	if pidfd < 0 || w.kernel.HaveDescriptors(w.spare) != nil {
		return
	}
	file, err := w.kernel.Watch(pidfd)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		file.Close()
		return
	}
	w.file = file
	go func() {
		if file.Wait() == nil {
			w.ended(heldTime, func() machine.Event { return heldEvent(w.kernel.NewProc(), pid) })
		}
	}()
}

// ended is called when the command has ended. If this is not closed before that time is over, the
// event is what has become of it.
func (w *heldWatch) ended(after time.Duration, what func() machine.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed && w.timer == nil {
		w.timer = time.AfterFunc(after, func() {
			if ev := what(); ev.Kind != machine.EvNone { // it was reaped meanwhile
				w.post(ev)
			}
		})
	}
}

func (w *heldWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.file != nil {
		w.file.Close()
	}
	if w.timer != nil {
		w.timer.Stop()
	}
}

// heldEvent says what there is to know of a zombie that cannot be had. Where its status is hidden
// from this process, the change has no code.
func heldEvent(proc *procfs.Proc, pid int) machine.Event {
	ev := machine.Event{Kind: machine.EvHeld, Change: reap.Change{PID: pid}, Why: "it cannot be reaped"}
	if !proc.Mounted() {
		return ev
	}
	st, err := proc.Stat(pid)
	if procfs.IsCovered(err) {
		return ev
	}
	if err != nil || st.State != 'Z' && st.State != 'X' {
		return machine.Event{Kind: machine.EvNone} // it was reaped just now
	}
	status, err := proc.Status(pid)
	if err != nil {
		return ev
	}
	ev.Change.UID = status.UID
	if tracer := status.TracerPID; tracer != 0 {
		comm, _ := proc.Comm(tracer)
		ev.Why = fmt.Sprintf("its tracer %s (pid %d) holds it", comm, tracer)
	}
	// To whoever may not trace the process the field is 0 (PTRACE_MODE_READ_FSCREDS), which is a
	// status as well.
	if st.ExitCode != 0 || unix.Geteuid() == 0 || unix.Geteuid() == status.UID {
		wait := unix.WaitStatus(st.ExitCode)
		switch {
		case wait.CoreDump():
			ev.Change.Code, ev.Change.Status = reap.CodeDumped, int(wait.Signal())
		case wait.Signaled():
			ev.Change.Code, ev.Change.Status = reap.CodeKilled, int(wait.Signal())
		default:
			ev.Change.Code, ev.Change.Status = reap.CodeExited, wait.ExitStatus()
		}
	}
	return ev
}
