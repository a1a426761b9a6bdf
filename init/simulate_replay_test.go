package pid1

import (
	"runtime"
	"slices"
	"testing"
)

// A history is the same each time that it is played. Some are not: of two events at the same moment
// the runtime chooses one, which no seed decides. That is rare, and replay tries again.
func TestSimulateReplays(t *testing.T) {
	if underRace {
		return // the race detector changes the order in which goroutines run
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const histories, most = 1000, 20 // one in a thousand, on the average
	different := 0
	for seed := range uint64(histories) {
		if !slices.Equal(playHistory(t, seed, true).lines, playHistory(t, seed, true).lines) {
			different++
		}
	}
	if different > most {
		t.Errorf("%d of %d histories were played in two ways", different, histories)
	}
}
