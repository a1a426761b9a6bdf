package main

import (
	"context"
	"fmt"
	"time"
)

// start times whole runs of /bin/true, from before fork(2) to after wait(2). All three standard descriptors are /dev/null, which is os/exec's
// default: nobody has to wait for a terminal or a pipe. And it times how long it takes until the first instruction of a command that has nothing to
// load, by a clock that this command reads.
func (b *bench) start(ctx context.Context) error {
	n := b.times(1000, 5)
	whole, first := make([]sample, len(b.peers)), make([]sample, len(b.peers))
	for range n {
		for i, p := range b.peers {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			cmd := p.command("/bin/true")
			begin := time.Now()
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			whole[i] = append(whole[i], time.Since(begin))
		}
	}
	for range b.times(300, 2) {
		for i, p := range b.peers {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			s, err := start(p, b.receiver)
			if err != nil {
				return err
			}
			s.stop()
			first[i] = append(first[i], s.took)
		}
	}
	s := section{
		ID: "start", Title: "Start-up", plot: 1,
		How: fmt.Sprintf("The whole run of `/bin/true`, %d of each by turns, from before fork(2) to after wait(2). The ratio is to the first one's p50. "+
			"Then the time until the first instruction of a static command without a runtime.", n),
		Columns: []string{"p50, ms", "p90, ms", "p99, ms", "ratio", "first instruction: p50, ms", "p90"},
	}
	for i, p := range b.peers {
		w, f := whole[i], first[i]
		s.Rows = append(s.Rows, row{p.name, []number{
			w.at(0.5, time.Millisecond), w.at(0.9, time.Millisecond), w.at(0.99, time.Millisecond),
			w.at(0.5, time.Millisecond) / whole[0].at(0.5, time.Millisecond), f.at(0.5, time.Millisecond), f.at(0.9, time.Millisecond),
		}})
	}
	b.add(s)
	return nil
}
