package testkit

import "testing"

// CheckSeeds checks that a seed makes the same round every time, and that different seeds make
// different ones.
func CheckSeeds(t *testing.T, round func(seed uint64) string) {
	t.Helper()
	different := map[string]bool{}
	for seed := range uint64(100) {
		first, again := round(seed), round(seed)
		if first != again {
			t.Errorf("seed %d: %s and %s", seed, first, again)
		}
		different[first] = true
	}
	if len(different) != 100 {
		t.Errorf("%d different rounds of 100 seeds", len(different))
	}
}
