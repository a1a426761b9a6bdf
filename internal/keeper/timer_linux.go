//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// keepGoing has the kernel send this process SIGCONT at a time, and each second from then on.
//
//go:nosplit
func keepGoing(at int64) {
	if wakeTimer.made == 0 {
		wakeTimer.event.notify, wakeTimer.event.signal = sigevSignal, int32(unix.SIGCONT)
		wakeTimer.made = 1
		if sys3(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, addr(&wakeTimer.event), addr(&wakeTimer.id)) < 0 {
			wakeTimer.made = -1
		}
	}
	if wakeTimer.made > 0 {
		at = after(at, second)
		wakeTimer.time = [4]int64{1, 0, at / second, at % second}
		sys4(unix.SYS_TIMER_SETTIME, uintptr(wakeTimer.id), timerAbsolute, addr(&wakeTimer.time), 0)
	}
}

const (
	sigevSignal   = 0
	timerAbsolute = 1
)

// wakeTimer is that timer. It is not inherited by a fork.
var wakeTimer struct {
	made  int32 // -1: refused
	id    int32
	time  [4]int64 // interval and time
	event struct {
		value          uint64
		signal, notify int32
		_              [48]byte
	}
}
