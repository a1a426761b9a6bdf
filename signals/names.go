package signals

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The real-time range as programs see it: the kernel's begins at 32, and C libraries keep the first
// two for themselves (signal(7), "Real-time signals").
const (
	RTMin unix.Signal = 34
	RTMax unix.Signal = 64
)

// aliases are the names that stand for a number which has another name of its own (signal(7)).
var aliases = map[string]unix.Signal{
	"CLD":  unix.SIGCHLD,
	"IOT":  unix.SIGABRT,
	"POLL": unix.SIGIO,
}

// Parse reads a signal in any of the usual spellings: TERM, SIGTERM, term, 15, RTMIN, RTMIN+3,
// RTMAX-1, SIGRTMIN+3. The result is within 1–64. It does not judge whether the signal can be
// caught or sent on.
func Parse(s string) (unix.Signal, error) {
	if n, err := strconv.ParseUint(s, 10, 8); err == nil {
		if n < 1 || n > uint64(RTMax) {
			return 0, fmt.Errorf("signal number %q is not within 1-%d", s, int(RTMax))
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig, ok := aliases[name]; ok {
		return sig, nil
	}
	if rest, ok := strings.CutPrefix(name, "RTMIN"); ok {
		return parseRealTime(s, RTMin, rest, '+')
	}
	if rest, ok := strings.CutPrefix(name, "RTMAX"); ok {
		return parseRealTime(s, RTMax, rest, '-')
	}
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

func parseRealTime(whole string, base unix.Signal, offset string, sign byte) (unix.Signal, error) {
	if offset == "" {
		return base, nil
	}
	n, err := strconv.ParseUint(offset[1:], 10, 8)
	if offset[0] != sign || err != nil || n > uint64(RTMax-RTMin) {
		const known = "real-time signals are RTMIN to RTMIN+%d and RTMAX-%[2]d to RTMAX"
		return 0, fmt.Errorf("unknown signal %q: "+known, whole, int(RTMax-RTMin))
	}
	if sign == '-' {
		return base - unix.Signal(n), nil
	}
	return base + unix.Signal(n), nil
}

// Name returns the name of sig with its SIG prefix, in the spelling that [Parse] reads: SIGTERM,
// SIGRTMIN, SIGRTMIN+3. A number without a name (32 and 33 belong to the C library) comes back in
// digits.
func Name(sig unix.Signal) string {
	switch {
	case sig == RTMin:
		return "SIGRTMIN"
	case sig > RTMin && sig <= RTMax:
		return "SIGRTMIN+" + strconv.Itoa(int(sig-RTMin))
	}
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return strconv.Itoa(int(sig))
}

// IsStop reports whether sig is one that asks a program to end: SIGTERM, SIGINT, SIGQUIT, SIGHUP.
func IsStop(sig unix.Signal) bool {
	switch sig {
	case unix.SIGTERM, unix.SIGINT, unix.SIGQUIT, unix.SIGHUP:
		return true
	}
	return false
}

// IsJobStop reports whether sig is one by which a terminal's job control stops a process: SIGTSTP,
// SIGTTIN, SIGTTOU.
func IsJobStop(sig unix.Signal) bool {
	switch sig {
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		return true
	}
	return false
}
