package testkit

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"
)

const (
	patience = 60 * time.Second // see Patience

	// A program that does nothing takes this from its start to its end, on the slowest machine that
	// the tests' times suit as they are.
	usual   = 1500 * time.Microsecond
	slowest = 10 // nobody is waited for any longer than that
)

// Slow says by how much this machine is slower than the times in the tests suit: 1, or more. It is
// measured once, when it is asked for first. The test binary where it is run again, as what is in a
// cage, is told.
var Slow = sync.OnceValue(func() float64 {
	factor, err := strconv.ParseFloat(cmp.Or(slowVariable, os.Getenv(toldVariable)), 64)
	if err != nil {
		factor = measureSlowness()
	}
	factor = min(max(factor, 1), slowest)
	_ = os.Setenv(toldVariable, strconv.FormatFloat(factor, 'f', -1, 64))
	return factor
})

const toldVariable = "TEST_FINITE_SLOW"

func measureSlowness() float64 {
	const programs = 40
	begin := time.Now()
	for range programs {
		_ = exec.Command("/bin/true").Run()
	}
	return slowness(time.Since(begin) / programs)
}

func slowness(took time.Duration) float64 {
	return min(max(float64(took)/float64(usual), 1), slowest)
}

// Patience is how long a test waits for what must come; not a measure of anything.
func Patience() time.Duration { return Stretched(patience) }

// Stretched is a time on this machine, to the millisecond.
func Stretched(d time.Duration) time.Duration { return stretched(d, Slow()) }

func stretched(d time.Duration, factor float64) time.Duration {
	return time.Duration(float64(d) * factor).Round(time.Millisecond)
}

var durations = regexp.MustCompile(`\b([0-9]+)(ms|s)\b`)

// Stretch has every time in a text, such as options of finite or what it says of them, be a time on
// this machine. Their order stays.
func Stretch(text string) string { return stretch(text, Slow()) }

func stretch(text string, factor float64) string {
	return durations.ReplaceAllStringFunc(text, func(word string) string {
		d, err := time.ParseDuration(word)
		if err != nil || factor == 1 {
			return word
		}
		return fmt.Sprintf("%dms", stretched(d, factor)/time.Millisecond)
	})
}

// Complete plays a run whose deadline is to come when everything is there, and reports whether it
// was. Where the deadline came too early, on a machine that is slow or busy, the run is played
// again with more time. What it returns of the run is for play to keep, which checks what holds of
// every run.
func Complete(t *testing.T, deadline time.Duration, play func(deadline string) (complete bool)) {
	t.Helper()
	for {
		if play(fmt.Sprintf("%dms", deadline/time.Millisecond)) || t.Failed() {
			return
		}
		if deadline > Patience()/2 {
			t.Fatalf("not everything was there at the deadline of %v", deadline)
		}
		deadline *= 3
	}
}
