//go:build race

package pid1

// underRace is true where the race detector, which has goroutines run in another order each time,
// is built in.
const underRace = true
