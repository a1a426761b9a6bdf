package reap

import (
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// siginfo is the kernel's siginfo_t as waitid(2) fills it, on 64-bit machines: three ints, a gap,
// then the SIGCHLD member.
type siginfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	uid                uint32
	status             int32
	_                  [100]byte
}

// The kernel copies sizeof(siginfo_t) = 128 bytes.
var _ [128]byte = [unsafe.Sizeof(siginfo{})]byte{}

// waiter is the memory that one thread hands to waitid(2) again and again, so that a wait allocates
// nothing.
type waiter struct {
	info  siginfo
	usage unix.Rusage
}

// wait calls waitid(2) and retries on EINTR. found is false where WNOHANG was given and no child
// had changed. A call that is to wait asks first, so that where many have changed the thread is not
// given away for each.
func (w *waiter) wait(idType, id, options int) (c Change, found bool, err error) {
	block := options&unix.WNOHANG == 0
	for first := true; ; first = false {
		w.info.pid = 0
		var errno unix.Errno
		if first || !block {
			_, _, errno = unix.RawSyscall6(unix.SYS_WAITID, uintptr(idType), uintptr(id),
				uintptr(unsafe.Pointer(&w.info)), uintptr(options|unix.WNOHANG),
				uintptr(unsafe.Pointer(&w.usage)), 0)
		} else {
			_, errno = sys.Wait(unix.SYS_WAITID, uintptr(idType), uintptr(id),
				uintptr(unsafe.Pointer(&w.info)), uintptr(options), uintptr(unsafe.Pointer(&w.usage)), 0)
		}
		switch errno {
		case 0:
			if found := w.info.pid != 0; found || !block {
				return w.change(), found, nil
			}
		case unix.EINTR:
		case unix.ECHILD:
			return Change{}, false, errno // it is no error
		default:
			return Change{}, false, fmt.Errorf("waitid: %w", errno)
		}
	}
}

func (w *waiter) change() Change {
	return Change{
		PID:    int(w.info.pid),
		UID:    int(w.info.uid),
		Code:   Code(w.info.code),
		Status: int(w.info.status),
		Rusage: Rusage{
			User:   time.Duration(w.usage.Utime.Nano()),
			System: time.Duration(w.usage.Stime.Nano()),
			MaxRSS: w.usage.Maxrss,
		},
	}
}

// HasEnded reports whether the child pid is a zombie that nobody has consumed yet. It consumes
// nothing and does not block. A child that a tracer holds, one that lives and one that is no child
// at all are all "no".
func HasEnded(pid int) bool {
	var l Loop
	return l.HasEnded(pid)
}

// Wait waits until the child pid, which no loop is to see, has ended, and consumes it.
func Wait(pid int) (Change, error) {
	var w waiter
	c, _, err := w.wait(unix.P_PID, pid, unix.WEXITED)
	return c, err
}
