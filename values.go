package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/ending"
)

// parseDuration reads 1h30m, 1.5s, 300ms (as Go does), 2d, or a plain number of seconds (as GNU
// timeout does). It must be at least low, which is 0 or more. The word off, if given, stands for
// [ending.Never].
func parseDuration(s string, low time.Duration, off string) (time.Duration, error) {
	if off != "" && s == off {
		return ending.Never, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		number, unit := s, time.Second
		if days, ok := strings.CutSuffix(s, "d"); ok {
			number, unit = days, 24*time.Hour
		}
		if d, err = parseNumber(number, unit); err != nil {
			return 0, err
		}
	}
	if d < 0 {
		return 0, errors.New("must not be negative")
	}
	if d < low {
		return 0, fmt.Errorf("must be at least %v", low)
	}
	return d, nil
}

// parseNumber reads a number of units, rounded to the nanosecond: 1.001 is 1001 ms. What is below 0
// is -1 or less.
func parseNumber(number string, unit time.Duration) (time.Duration, error) {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "xXpPiInN_") {
		return 0, errors.New("not a duration (examples: 90, 1.5s, 300ms, 1h30m, 2d)")
	}
	f := n * float64(unit)
	if f >= 1<<63 {
		return 0, errors.New("out of range")
	}
	// A float has too few digits for years in nanoseconds, but enough for the part of a unit.
	whole, part, _ := strings.Cut(number, ".")
	if count, err := strconv.ParseUint(whole, 10, 63); err == nil && strings.Trim(part, "0123456789") == "" {
		n, _ = strconv.ParseFloat("0."+part, 64)
		return time.Duration(count)*unit + time.Duration(math.Round(n*float64(unit))), nil
	}
	return time.Duration(max(math.Round(f), -1)), nil
}

// setRecord sets the name of a file, or fd:N.
func setRecord(to *string, v string) error {
	*to = v
	if v == "" {
		return errors.New("empty")
	}
	if strings.HasPrefix(v, "fd:") {
		_, err := parseDescriptor(v)
		return err
	}
	return nil
}

// parseLifeline reads parent, or what parseDescriptor does.
func parseLifeline(s string) (int, error) {
	if s == "parent" {
		return pid1.LifelineParent, nil
	}
	fd, err := parseDescriptor(s)
	if err != nil && !strings.HasPrefix(s, "fd:") {
		err = errors.New("must be stdin, parent, or fd:N with the number of a descriptor")
	}
	return fd, err
}

// parseDescriptor reads stdin or fd:N, a descriptor that finite was started with. Its own are
// closed when it executes something, those are not.
func parseDescriptor(s string) (int, error) {
	if s == "stdin" {
		return unix.Stdin, nil
	}
	number, ok := strings.CutPrefix(s, "fd:")
	n, err := strconv.ParseUint(number, 10, 20)
	if !ok || err != nil {
		return -1, errors.New("must be stdin, or fd:N with the number of a descriptor")
	}
	if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
		return -1, errors.New("finite was started without that descriptor")
	}
	return int(n), nil
}

func parseStatus(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n > 255 {
		return 0, errors.New("not an exit status (0-255)")
	}
	return int(n), nil
}
