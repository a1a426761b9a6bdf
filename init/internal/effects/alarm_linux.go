package effects

import (
	"sync"
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
	fire func()
	left func() time.Duration // until it fires

	mu   sync.Mutex
	over bool // it has fired, or was closed
	// Where the timerfd fails: a seccomp filter, too few descriptors, an error of read(2). It does
	// not follow the wall clock.
	fallback *time.Timer
}

// NewAlarm calls fire, once, in a goroutine, when the wall clock reads at or later.
func NewAlarm(at time.Time, fire func()) *alarm {
	when := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
	if when.Sec < 0 || when == (unix.Timespec{}) {
		when = unix.Timespec{Nsec: 1} // long past; 0 would disarm the timer
	}
	a := &alarm{fire: fire, left: func() time.Duration { return time.Until(at) }}
	a.begin(unix.CLOCK_REALTIME, unix.TFD_TIMER_ABSTIME, when)
	return a
}

// NewTimeout calls fire, once, in a goroutine, after d, which is above 0.
func NewTimeout(d time.Duration, fire func()) *alarm {
	at := time.Now().Add(d) // by the monotonic clock
	a := &alarm{fire: fire, left: func() time.Duration { return time.Until(at) }}
	a.begin(unix.CLOCK_MONOTONIC, 0, unix.NsecToTimespec(d.Nanoseconds()))
	return a
}

// begin sets the alarm to a time, as timerfd_settime(2) has it.
func (a *alarm) begin(clock, flags int, when unix.Timespec) {
	a.open(clock)
	if a.file == nil || unix.TimerfdSettime(a.fd, flags, &unix.ItimerSpec{Value: when}, nil) != nil {
		a.fallBack()
		return
	}
	go a.await(a.file.Read)
}

// open makes the timerfd.
func (a *alarm) open(clock int) {
	fd, err := unix.TimerfdCreate(clock, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return
	}
	if HaveDescriptors(LaterDescriptors) != nil {
		_ = unix.Close(fd) // others need it more
		return
	}
	if file, err := sys.NewFile(fd, "timerfd"); err == nil {
		a.fd, a.file = fd, file
	}
}

// await waits for the timerfd.
func (a *alarm) await(read func([]byte) (int, error)) {
	var expirations [8]byte
	if _, err := read(expirations[:]); err != nil {
		a.fallBack() // unless it was closed
		return
	}
	a.ring()
}

func (a *alarm) fallBack() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.fallback = time.AfterFunc(a.left(), a.ring)
	}
}

func (a *alarm) ring() {
	if a.end() {
		a.fire()
	}
}

// end makes it over, and reports whether it was not.
func (a *alarm) end() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	pending := !a.over
	a.over = true
	if a.fallback != nil {
		a.fallback.Stop()
	}
	return pending
}

// Close stops the alarm, and reports whether it had not fired. If it had, fire may still be under
// way.
func (a *alarm) Close() bool {
	pending := a.end()
	if a.file != nil {
		a.file.Close()
	}
	return pending
}
