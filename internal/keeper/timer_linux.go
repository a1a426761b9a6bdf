//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// keepGoing has the kernel send this process SIGCONT a second after a time, and each second from
// then on. So a process that was stopped goes on.
//
//go:nosplit
func keepGoing(at int64) {
	if wakeTimer.made == 0 {
		wakeTimer.event.notify, wakeTimer.event.signal = sigevSignal, int32(unix.SIGCONT)
		wakeTimer.made = 1
		event, id := addr(&wakeTimer.event), addr(&wakeTimer.id)
		if sys3(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, event, id) < 0 {
			wakeTimer.made = -1
		}
	}
	if wakeTimer.made > 0 {
		at = after(at, second)
		wakeTimer.time = [4]int64{1, 0, at / second, at % second}
		sys4(unix.SYS_TIMER_SETTIME, uintptr(wakeTimer.id), timerAbsolute, addr(&wakeTimer.time), 0)
	}
}

// Constants of timer_create(2) and timer_settime(2).
const (
	sigevSignal   = 0 // SIGEV_SIGNAL
	timerAbsolute = 1 // TIMER_ABSTIME
)

// wakeTimer is the timer of keepGoing. A fork does not inherit it.
var wakeTimer struct {
	made  int32 // 0: not yet; -1: refused
	id    int32
	time  [4]int64 // struct itimerspec: interval and time
	event struct { // struct sigevent
		value          uint64
		signal, notify int32
		_              [48]byte
	}
}
