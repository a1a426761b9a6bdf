package effects

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// alarm fires at a deadline. It is a timerfd (timerfd_create(2), Linux 2.6.25): that follows the
// wall clock when it is stepped, and it is on time to the microsecond, while the runtime's own
// timers wait in epoll_wait(2), which counts in milliseconds.
type alarm struct {
	fd   int
	file *sys.File
	// Where there is no timerfd: a seccomp filter, or too few descriptors. It does not follow the
	// wall clock.
	fallback *time.Timer
	fire     func()
	over     atomic.Bool // it has fired, or was closed
}

// NewAlarm calls fire, once, in a goroutine, when the wall clock reads at or later.
func NewAlarm(at time.Time, fire func()) *alarm {
	when := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
	if when.Sec < 0 || when == (unix.Timespec{}) {
		when = unix.Timespec{Nsec: 1} // long past; 0 would disarm the timer
	}
	a := makeAlarm(unix.CLOCK_REALTIME, fire)
	a.arm(unix.TFD_TIMER_ABSTIME, when, time.Until(at))
	return a
}

// NewTimeout calls fire, once, in a goroutine, after d, which is above 0.
func NewTimeout(d time.Duration, fire func()) *alarm {
	a := makeAlarm(unix.CLOCK_MONOTONIC, fire)
	a.arm(0, unix.NsecToTimespec(d.Nanoseconds()), d)
	return a
}

// makeAlarm makes an alarm that is not armed.
func makeAlarm(clock int, fire func()) *alarm {
	a := &alarm{fd: -1, fire: fire}
	fd, err := unix.TimerfdCreate(clock, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return a
	}
	if HaveDescriptors(LaterDescriptors) != nil {
		_ = unix.Close(fd) // others need it more
		return a
	}
	file, err := sys.NewFile(fd, "timerfd")
	if err != nil {
		return a
	}
	a.fd, a.file = fd, file
	go func() {
		var expirations [8]byte
		if _, err := file.Read(expirations[:]); err == nil {
			a.ring()
		}
	}()
	return a
}

// arm sets the time, as timerfd_settime(2) has it and as a duration from now.
func (a *alarm) arm(flags int, when unix.Timespec, d time.Duration) {
	if a.file != nil && unix.TimerfdSettime(a.fd, flags, &unix.ItimerSpec{Value: when}, nil) == nil {
		return
	}
	a.fallback = time.AfterFunc(d, a.ring)
}

func (a *alarm) ring() {
	if !a.over.Swap(true) {
		a.fire()
	}
}

// Close stops the alarm, and reports whether it had not fired. If it had, fire may still be under
// way.
func (a *alarm) Close() bool {
	pending := !a.over.Swap(true)
	if a.fallback != nil {
		a.fallback.Stop()
	}
	if a.file != nil {
		a.file.Close()
	}
	return pending
}
