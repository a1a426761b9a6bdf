package effects

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A timeout fires after its time, once; with a timerfd and without.
func TestTimeout(t *testing.T) {
	for _, without := range []bool{false, true} {
		fired := make(chan time.Time, 2)
		fire := func() { fired <- time.Now() }
		create := func(d time.Duration) *alarm {
			if !without {
				return NewTimeout(d, fire)
			}
			a := &alarm{fd: -1, fire: fire}
			a.arm(0, unix.Timespec{}, d)
			return a
		}
		begin := time.Now()
		a := create(50 * time.Millisecond)
		if at := <-fired; at.Sub(begin) < 50*time.Millisecond {
			t.Errorf("it fired after %v", at.Sub(begin))
		}
		if a.Close() {
			t.Error("it is not over")
		}
		if !create(time.Hour).Close() {
			t.Error("it was over")
		}
		select {
		case <-fired:
			t.Error("it fired again")
		default:
		}
	}
}

// The wall clock's timer fires at once for a time that is past, whatever that time is.
func TestWallTimer(t *testing.T) {
	soon := time.Now().Add(10 * time.Millisecond)
	for _, at := range []time.Time{time.Now(), time.Unix(0, 0), time.Unix(-1<<40, 0), soon} {
		fired := make(chan struct{})
		w := NewAlarm(at, func() { close(fired) })
		select {
		case <-fired:
		case <-time.After(20 * time.Second):
			t.Errorf("the timer for %v did not fire", at)
		}
		w.Close()
	}
	w := NewAlarm(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), func() { t.Error("fired early") })
	w.Close()
}
