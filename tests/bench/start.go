package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"
)

// start times whole runs of /bin/true, from before fork(2) to after wait(2). All three standard descriptors are /dev/null, which is os/exec's
// default: nobody has to wait for a terminal or a pipe. And it times how long it takes until the first instruction of a command that has nothing to
// load, by a clock that this command reads.
//
// What makes cgroups and namespaces has turns of its own: the kernel is not done with them when wait(2) returns, and whoever came next, the one that
// all are compared with, would pay for that.
func (b *bench) start(ctx context.Context) error {
	makers := []peer{{name: "finite -t 1h", args: []string{b.finite, "-t", "1h", "--cgroup", "auto", "--"}}}
	if os.Geteuid() == 0 {
		makers = append(makers, installed([]peer{
			{name: "finite --unshare pid,mount", args: []string{b.finite, "--unshare", "pid,mount", "--"}},
			{name: "unshare -pf --mount-proc", args: []string{"unshare", "-pf", "--mount-proc"}},
		})...)
	}
	n := b.times(1000, 5)
	s := section{
		ID: "start", Title: "Start-up", plot: 1,
		How: fmt.Sprintf("The whole run of `/bin/true`, %d of each by turns in random order, from before fork(2) to after wait(2). The ratio is to the first one's p50. "+
			"Then the time until the first instruction of a static command without a runtime. Those that make a cgroup (`-t 1h`) or namespaces have "+
			"turns of their own, after the others.", n),
		Columns: []string{"p50, ms", "p90, ms", "p99, ms", "ratio", "first instruction: p50, ms", "p90"},
	}
	if why := b.noCgroup(ctx); why != "" {
		s.How += " With `-t 1h` it is without a cgroup, because none can be made here: `" + why + "`."
	}
	var whole, first []sample
	for _, peers := range [][]peer{b.peers, makers} {
		w, f, err := b.startByTurns(ctx, peers, n)
		if err != nil {
			return err
		}
		whole, first = append(whole, w...), append(first, f...)
	}
	for i, p := range slices.Concat(b.peers, makers) {
		w, f := whole[i], first[i]
		s.Rows = append(s.Rows, row{p.name, []number{
			w.at(0.5, time.Millisecond), w.at(0.9, time.Millisecond), w.at(0.99, time.Millisecond),
			w.at(0.5, time.Millisecond) / whole[0].at(0.5, time.Millisecond), f.at(0.5, time.Millisecond), f.at(0.9, time.Millisecond),
		}})
	}
	b.add(s)
	return nil
}

// startByTurns returns the times of n whole runs of each, and those until the first instruction.
func (b *bench) startByTurns(ctx context.Context, peers []peer, n int) (whole, first []sample, err error) {
	whole, first = make([]sample, len(peers)), make([]sample, len(peers))
	for range n {
		for _, i := range rand.Perm(len(peers)) { // whoever comes after a program with many threads pays for their end
			p := peers[i]
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			cmd := p.command("/bin/true")
			begin := time.Now()
			if err := cmd.Run(); err != nil {
				return nil, nil, fmt.Errorf("%s: %w", p.name, err)
			}
			whole[i] = append(whole[i], time.Since(begin))
		}
	}
	for range b.times(300, 2) {
		for _, i := range rand.Perm(len(peers)) {
			p := peers[i]
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			s, err := start(p, b.receiver)
			if err != nil {
				return nil, nil, err
			}
			s.stop()
			first[i] = append(first[i], s.took)
		}
	}
	return whole, first, nil
}
