package signals

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
)

// Shielded calls fn with SIGPIPE and SIGTTOU blocked in the calling thread and returns what fn
// returns. A write to a pipe that nobody reads then fails with EPIPE and nothing else, and a
// process in the background may write to its terminal, or take it back, without being stopped
// (termios(3), TOSTOP; tcsetpgrp(3)). Dispositions stay as they are, so nothing of this is
// inherited by a child.
//
// In a process with all of this blocked on each thread nothing needs to be done. A thread that is
// locked costs another one.
func Shielded(fn func() error) error {
	if keeper.SignalsBlocked() {
		return fn()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var block, before unix.Sigset_t
	addToSet(&block, unix.SIGPIPE)
	addToSet(&block, unix.SIGTTOU)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &block, &before) != nil {
		return fn()
	}
	err := fn()
	if errors.Is(err, unix.EPIPE) {
		// The write raised a SIGPIPE that is pending for this thread alone. Take it back before it
		// can be delivered: the kernel looks at the thread's own pending signals first, so one that
		// somebody sent to the process stays (signal(7)).
		var pipe unix.Sigset_t
		addToSet(&pipe, unix.SIGPIPE)
		takePending(&pipe)
	}
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	return err
}

// takePending consumes one pending signal of set, if there is one (sigtimedwait(2) with a zero
// timeout).
func takePending(set *unix.Sigset_t) {
	var now unix.Timespec
	_, _, _ = unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(set)), 0,
		uintptr(unsafe.Pointer(&now)), 8, 0, 0)
}

func addToSet(set *unix.Sigset_t, sig unix.Signal) {
	bits := uint(unsafe.Sizeof(set.Val[0])) * 8
	set.Val[uint(sig-1)/bits] |= 1 << (uint(sig-1) % bits)
}
