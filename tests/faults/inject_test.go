//go:build amd64

package faults

import (
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// target is a fault, and the point at which it happens.
type target struct {
	Kind   string
	Number int
	Nth    int
	Fault  string
	Errno  syscall.Errno // 0: the fault is none
	After  bool          // the call is made nevertheless
}

const delayTime = 300 * time.Millisecond

// call deals with a task at the beginning or the end of a system call.
func (t *tracer) call(k *task) {
	info, err := syscallInfo(k.tid)
	if err != nil {
		return // it was killed
	}
	if info.op == atExit && k.pending {
		k.pending = false
		_ = setResult(k.tid, t.target.Errno)
	}
	if info.op != atEntry || t.hit {
		t.resume(k, 0)
		return
	}
	number := int(info.number)
	if number == unix.SYS_PRCTL && info.args[0] == unix.PR_SET_NAME {
		k.of.named = true
		if k.of.kind == asChild && peekPath(k.tid, info.args[1]) == asSupervisor {
			k.of.kind = asSupervisor
		}
	}
	if number == unix.SYS_FUTEX && info.args[1]&0x7f != 0 { // any other than FUTEX_WAIT
		t.resume(k, 0)
		return
	}
	key := countKey{k.of.kind, number}
	t.counts[key]++
	if f := t.target; f != nil && f.Kind == key.kind && f.Number == number && f.Nth == t.counts[key] {
		t.came, t.object = true, objectOf(k.tid, &info)
		if f.Fault != faultHang || canHang(t.object) {
			t.happen(k, f)
			return
		}
	}
	t.resume(k, 0)
}

// happen has the fault happen.
func (t *tracer) happen(k *task, f *target) {
	t.hit, t.victim = true, k.of
	t.inTime = time.Since(t.start) < testkit.Stretched(timeout)
	for tid := range t.early {
		t.letGo(&task{tid: tid}, 0) // its parent may be killed now, and tell nothing
	}
	switch f.Fault {
	case faultKill:
		_ = unix.Kill(k.of.pid, unix.SIGKILL)
		t.resume(k, 0)
	case faultStop:
		_ = unix.Kill(k.of.pid, unix.SIGSTOP)
		if pause := t.stopTime(k.of.kind); pause != 0 {
			t.startTicker(pause)
		}
		t.resume(k, 0)
	case faultDelay:
		t.held = k
		t.startTicker(delayTime)
	case faultHang: // until it is killed
	default:
		k.pending = true
		if !f.After {
			_ = skipCall(k.tid)
		}
		t.resume(k, 0)
	}
}

// stopTime is how long a process of finite's that is stopped now may stay so, until the observer
// continues it, as a caller does; 0: another process of finite's continues it. Once there is a
// command, one with a deadline to enforce is continued a second later at most: the keeper by a
// timer, the front by the keeper.
func (t *tracer) stopTime(kind string) time.Duration {
	if kind != t.setting.mainKind() && kind != asChild {
		return 0
	}
	t.armed = t.setting.hasDeadline() && t.child &&
		(kind == asFront || t.counts[countKey{kind, unix.SYS_TIMER_SETTIME}] > 0)
	if t.armed {
		return testkit.Stretched(timeout + grace + 2*time.Second)
	}
	return delayTime
}

// startTicker starts a process that ends after some time.
func (t *tracer) startTicker(d time.Duration) {
	seconds := strconv.FormatFloat(d.Seconds(), 'f', 3, 64)
	pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", seconds}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	cage.Must(err)
	t.ticker = pid
}

// tick ends a delay, or a stop.
func (t *tracer) tick() {
	if k := t.held; k != nil && t.tasks[k.tid] == k {
		t.held = nil
		t.resume(k, 0)
	} else if t.victim != nil {
		_ = unix.Kill(t.victim.pid, unix.SIGCONT)
		t.stuck = t.armed && t.inTime
	}
}
