//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Times and durations are nanoseconds, times of CLOCK_MONOTONIC. The time 0 is never.
const (
	millisecond = 1_000_000
	second      = 1000 * millisecond
)

// now is the time of CLOCK_MONOTONIC, never 0.
//
//go:nosplit
func now() int64 {
	sys2(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, addr(&clockTime))
	return clockTime[0]*second + clockTime[1]
}

// Arguments of system calls (struct timespec): the time, a duration, and none at all.
var clockTime, shortTime, noTime [2]int64

// earlier is the earlier one of two times.
//
//go:nosplit
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// after is a time after another one, without an overflow.
//
//go:nosplit
func after(at, d int64) int64 {
	if at+d < at {
		return 1<<63 - 1
	}
	return at + d
}

// isDue reports whether a time has come.
//
//go:nosplit
func isDue(at int64) bool { return at != 0 && now() >= at }

// pause sleeps for less than a second.
//
//go:nosplit
func pause(d int64) {
	beExact()
	shortTime = [2]int64{0, d}
	sys4(unix.SYS_PPOLL, 0, 0, addr(&shortTime), 0)
}
