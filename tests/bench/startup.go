package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// startUp times whole runs of /bin/true, from before fork(2) to after wait(2). All three standard descriptors are /dev/null, which is
// os/exec's default: nobody has to wait for a terminal or a pipe. The ratio is of p50 to the first peer's.
func startUp(ctx context.Context, peers []peer, runs int) error {
	times := make([][]time.Duration, len(peers))
	for range runs {
		for i, p := range peers {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			cmd := p.command("/bin/true")
			begin := time.Now()
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			times[i] = append(times[i], time.Since(begin))
		}
	}
	fmt.Printf("\nwhole run of /bin/true, %d runs of each, by turns\n", runs)
	fmt.Printf("%-18s %10s %10s %10s %8s\n", "", "p50", "p90", "p99", "ratio")
	var base time.Duration
	for i, p := range peers {
		slices.Sort(times[i])
		at := func(q float64) time.Duration { return quantile(times[i], q).Round(time.Microsecond) }
		if i == 0 {
			base = at(0.5)
		}
		fmt.Printf("%-18s %10v %10v %10v %8.2f\n", p.name, at(0.5), at(0.9), at(0.99), float64(at(0.5))/float64(base))
	}
	return nil
}
