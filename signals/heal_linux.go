//go:build amd64 || arm64

package signals

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// settle has heal called: not while the command starts, which has better use for the processors, and once more for the threads that the
// runtime makes then.
func (s *entrySource) settle() {
	for _, after := range []time.Duration{10 * time.Millisecond, 250 * time.Millisecond} {
		s.healers = append(s.healers, time.AfterFunc(after, s.heal))
	}
}

// heal makes the runtime's threads leave all signals to the receiver, and gives their timers the precision back that entry took, by sending each
// of them SIGPROF, which the runtime has unblocked on each. One that is deaf already keeps it pending.
//
// The monitor's timers become less precise still, if that is wanted. It wakes up whenever another thread does, and then each 20 us until it has seen that there is
// nothing to do, which for an orphan that is reaped is as much work again. It is the first thread that the runtime makes, and /proc lists threads in the order in
// which they were made.
func (s *entrySource) heal() {
	pid := os.Getpid()
	tids, err := threads()
	if err == nil && len(tids) > 1 && tids[0] == pid {
		if s.coarse {
			atomic.StoreInt32(&monitor, int32(tids[1]))
		}
	} else { // no /proc, or another PID namespace's. A wrong guess is no harm: it must be a thread of this process (tgkill(2))
		tids = nil
		for tid := pid; tid < pid+32; tid++ {
			tids = append(tids, tid)
		}
	}
	for _, tid := range tids {
		if tid != int(atomic.LoadInt32(&receiver)) {
			_ = unix.Tgkill(pid, tid, unix.SIGPROF)
		}
	}
}

// threads lists this process's threads.
func threads() (tids []int, err error) {
	dir, err := sys.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open /proc/self/task: %w", err)
	}
	defer sys.Close(dir)
	var buf [4096]byte
	n, err := sys.ReadDirent(dir, buf[:])
	if err != nil {
		return nil, fmt.Errorf("getdents64: %w", err)
	}
	_, _, names := unix.ParseDirent(buf[:n], -1, nil)
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, nil
}

// leaveToReceiver does to the calling thread what heal does to the others. It is the main one in most cases: the kernel asks that first whether it
// takes a signal.
func leaveToReceiver() {
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_BLOCK, uintptr(unsafe.Pointer(&strayMask)), 0, 8, 0, 0)
	if inheritedSlack > 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, uintptr(inheritedSlack), 0)
	}
}
