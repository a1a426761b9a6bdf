// Command bench measures finite beside its peers, all of them in one run and by turns, so that whatever else the machine does meets them
// all. It measures and never judges; how a figure came about is in the file it comes from:
//
//   - startup.go: the time of a whole run of /bin/true;
//   - latency.go: the time from a signal that is sent to the init to the command's handler of it;
//   - idle.go: wake-ups, threads and memory of an init that has nothing to do.
//
// Usage, in the repository's root:
//
//	go run ./tests/bench [-runs 500] [-signals 2000] [-idle 10s] bin/finite
//
// A count or a time of 0 leaves that measurement out. Peers that are not installed are left out, too.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// peer is an init, or what is measured in the place of one.
type peer struct {
	name     string
	args     []string // what stands in front of the command
	forwards bool     // it passes signals on
}

// command returns the command that has the init run another one.
func (p peer) command(args ...string) *exec.Cmd {
	all := slices.Concat(p.args, args)
	return exec.Command(all[0], all[1:]...)
}

func main() {
	runs := flag.Int("runs", 500, "runs of /bin/true by each init")
	signals := flag.Int("signals", 2000, "signals to each init")
	idle := flag.Duration("idle", 10*time.Second, "how long to watch the idle inits")
	flag.Parse()
	finite := flag.Arg(0)
	if finite == "" {
		finite = "bin/finite"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := bench(ctx, finite, *runs, *signals, *idle)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench measures everything. It ends early, and leaves nothing behind, when ctx does.
func bench(ctx context.Context, finite string, runs, signals int, idle time.Duration) error {
	dir, err := os.MkdirTemp("", "finite-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	floor, receiver := filepath.Join(dir, "floor"), filepath.Join(dir, "receiver")
	if err := build(ctx, floor, "./tests/bench/floor", "-s -w"); err != nil {
		return err
	}
	if err := build(ctx, receiver, "./tests/bench/receiver", "-s -w -E main.entry"); err != nil {
		return err
	}
	peers := installed([]peer{
		{"tini-static", []string{"tini-static", "-s", "--"}, true},
		// As it is used, without -c: the command has a session of its own, and signals go to its process group, which is the command alone.
		{"dumb-init", []string{"dumb-init", "--"}, true},
		{"catatonit", []string{"catatonit", "--"}, true},
		{"smallest Go shim", []string{floor}, false},
		{"finite", []string{finite, "--"}, true},
	})
	for _, p := range peers {
		if err := writeBack(p.args[0]); err != nil {
			return err
		}
	}
	if runs > 0 {
		if err := startUp(ctx, peers, runs); err != nil {
			return err
		}
	}
	if signals > 0 {
		if err := latency(ctx, peers, receiver, signals); err != nil {
			return err
		}
	}
	if idle > 0 {
		return watch(ctx, peers, receiver, idle)
	}
	return nil
}

// build compiles one of the benchmark's own programs. As make does with finite, it leaves a copy of what the linker has written, which starts
// faster than that itself.
func build(ctx context.Context, output, pkg, ldflags string) error {
	linked := output + ".linked"
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", ldflags, "-o", linked, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
	}
	program, err := os.ReadFile(linked)
	if err != nil {
		return err
	}
	return os.WriteFile(output, program, 0o755)
}

// installed returns the peers that there are, with the paths of their programs.
func installed(all []peer) (peers []peer) {
	for _, p := range all {
		path, err := exec.LookPath(p.args[0])
		if err != nil {
			fmt.Printf("%s: not installed\n", p.name)
			continue
		}
		p.args[0] = path
		peers = append(peers, p)
	}
	return peers
}

// writeBack has a file on the disk. Until then the kernel counts what a process has mapped of it as that process's dirty memory.
func writeBack(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// quantile returns the value below which the part q of the sorted values is.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))]
}
