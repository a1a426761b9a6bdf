package pid1

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// wallTimer fires at a time of the wall clock and follows that clock when it is stepped, which Go's own timers do not: a timerfd on
// CLOCK_REALTIME with an absolute time (timerfd_create(2), Linux 2.6.25).
type wallTimer struct {
	file     *os.File
	fallback *time.Timer
}

// newWallTimer calls fire once, in a goroutine, when the wall clock reads at or later. Where there is no timerfd (a seccomp filter, no
// descriptor left), it is a plain timer that does not follow steps.
func newWallTimer(at time.Time, fire func()) *wallTimer {
	fd, err := unix.TimerfdCreate(unix.CLOCK_REALTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err == nil {
		when := unix.Timespec{Sec: at.Unix(), Nsec: int64(at.Nanosecond())}
		if when.Sec < 0 || when == (unix.Timespec{}) {
			when = unix.Timespec{Nsec: 1} // long past; 0 would disarm the timer
		}
		err = unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: when}, nil)
		if err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return &wallTimer{fallback: time.AfterFunc(time.Until(at), fire)}
	}
	w := &wallTimer{file: os.NewFile(uintptr(fd), "timerfd")}
	conn, err := w.file.SyscallConn()
	if err != nil {
		_ = w.file.Close()
		return &wallTimer{fallback: time.AfterFunc(time.Until(at), fire)}
	}
	go func() {
		var expirations [8]byte
		if _, err := sys.NewFile(conn).Read(expirations[:]); err == nil {
			fire()
		}
	}()
	return w
}

// close stops the timer; fire may still be under way.
func (w *wallTimer) close() {
	if w.fallback != nil {
		w.fallback.Stop()
		return
	}
	_ = w.file.Close()
}
