package pid1

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
)

// A history can be played again. Of two events at the same moment the runtime chooses one, which no
// seed decides, and a machine that is busy may take the processor away: then a further try is the
// same.
func TestSimulateReplays(t *testing.T) {
	if underRace {
		return // the race detector changes the order in which goroutines run
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for seed := range uint64(300) {
		last := playHistory(t, seed, true).lines
		for try := 0; ; try++ {
			now := playHistory(t, seed, true).lines
			if slices.Equal(last, now) {
				break
			}
			if last = now; try == replays {
				t.Fatalf("history %d is another one each time", seed)
			}
		}
	}
}
