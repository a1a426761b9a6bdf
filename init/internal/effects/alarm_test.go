package effects

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A timeout fires after its time, once; with a timerfd, without, and with one that cannot be read.
func TestTimeout(t *testing.T) {
	for name, create := range map[string]func(time.Duration, func()) *alarm{
		"timerfd": NewTimeout,
		"none": func(d time.Duration, fire func()) *alarm {
			a := testAlarm(d, fire)
			a.fallBack()
			return a
		},
		"read fails": func(d time.Duration, fire func()) *alarm {
			a := testAlarm(d, fire)
			a.await(func([]byte) (int, error) { return 0, unix.EIO })
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			testTimeout(t, create)
		})
	}
}

// testAlarm is an alarm that nothing sets off.
func testAlarm(d time.Duration, fire func()) *alarm {
	at := time.Now().Add(d)
	return &alarm{fire: fire, left: func() time.Duration { return time.Until(at) }}
}

func testTimeout(t *testing.T, create func(time.Duration, func()) *alarm) {
	fired := make(chan time.Time, 2)
	fire := func() { fired <- time.Now() }
	begin := time.Now()
	a := create(50*time.Millisecond, fire)
	var at time.Time
	select {
	case at = <-fired:
	case <-time.After(20 * time.Second):
		t.Fatal("it did not fire")
	}
	if at.Sub(begin) < 50*time.Millisecond {
		t.Errorf("it fired after %v", at.Sub(begin))
	}
	if a.Close() {
		t.Error("it is not over")
	}
	if !create(time.Hour, fire).Close() {
		t.Error("it was over")
	}
	select {
	case <-fired:
		t.Error("it fired again")
	default:
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
