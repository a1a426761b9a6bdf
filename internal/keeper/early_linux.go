//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// earlySet are the stop signals that were not ignored at the start.
var earlySet uint64

// endEarly ends finite where a stop signal has come before there is a command. Other signals stay
// pending for the command.
//
//go:nosplit
func endEarly() {
	if takeEarly() {
		exitEarly()
	}
}

// takeEarly takes a stop signal into arrival. It returns false where there is none.
//
//go:nosplit
func takeEarly() bool {
	early := endSet &^ facts.Ignored
	earlySet, noTime = early, [2]int64{}
	n := sys4(unix.SYS_RT_SIGTIMEDWAIT, addr(&earlySet), addr(&arrival.sent), addr(&noTime), 8)
	if n <= 0 {
		return false
	}
	s := &arrival.signal
	s.Number, s.Code = int32(n), *(*int32)(pointer(addr(&arrival.sent) + 8))
	s.PID, s.UID = *(*int32)(pointer(addr(&arrival.sent) + 16)), *(*uint32)(pointer(addr(&arrival.sent) + 20))
	return true
}

// exitEarly ends this process by the signal that takeEarly has taken.
//
//go:nosplit
func exitEarly() {
	s := &arrival.signal
	startLine()
	put("stop requested by ")
	putSignal(s.Number)
	putSender(s, true)
	say()
	awaitHelpers()
	exit(128 + s.Number)
}
