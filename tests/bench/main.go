// Command bench measures finite beside its peers: the time of a whole run of /bin/true, interleaved, and what an idle init does in ten
// seconds. It measures and never judges; figures are medians, and ratios to tini-static of the same run.
//
//	go run ./tests/bench [-runs 500] [-idle 10s] bin/finite
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

type peer struct {
	name string
	args []string // what stands in front of the command
}

func main() {
	runs := flag.Int("runs", 500, "runs of each")
	idle := flag.Duration("idle", 10*time.Second, "how long to watch an idle init")
	flag.Parse()
	finite := flag.Arg(0)
	if finite == "" {
		finite = "bin/finite"
	}
	if err := bench(finite, *runs, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(finite string, runs int, idle time.Duration) error {
	dir, err := os.MkdirTemp("", "finite-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	floor := filepath.Join(dir, "floor")
	cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", floor, "./tests/bench/floor")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	var peers []peer
	for _, p := range []peer{
		{"tini-static", []string{"tini-static", "-s", "--"}},
		{"dumb-init", []string{"dumb-init", "--"}},
		{"catatonit", []string{"catatonit", "--"}},
		{"smallest Go shim", []string{floor}},
		{"finite", []string{finite, "--"}},
	} {
		path, err := exec.LookPath(p.args[0])
		if err != nil {
			fmt.Printf("%s: not installed\n", p.name)
			continue
		}
		p.args[0] = path
		peers = append(peers, p)
	}
	if err := startUp(peers, runs); err != nil {
		return err
	}
	fmt.Println()
	for _, p := range peers {
		if err := watch(p, idle); err != nil {
			return err
		}
	}
	return nil
}

// startUp times whole runs. The peers take turns, so that whatever else the machine does meets them all.
func startUp(peers []peer, runs int) error {
	times := make([][]time.Duration, len(peers))
	for range runs {
		for i, p := range peers {
			begin := time.Now()
			if err := exec.Command(p.args[0], append(p.args[1:], "/bin/true")...).Run(); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			times[i] = append(times[i], time.Since(begin))
		}
	}
	fmt.Printf("whole run of /bin/true, %d runs each, interleaved\n", runs)
	fmt.Printf("%-18s %10s %10s %10s %8s\n", "", "p50", "p90", "p99", "ratio")
	var base time.Duration
	for i, p := range peers {
		slices.Sort(times[i])
		at := func(q float64) time.Duration { return times[i][int(q*float64(runs-1))].Round(time.Microsecond) }
		if i == 0 {
			base = at(0.5)
		}
		fmt.Printf("%-18s %10v %10v %10v %8.2f\n", p.name, at(0.5), at(0.9), at(0.99), float64(at(0.5))/float64(base))
	}
	return nil
}

// watch counts how often the threads of an idle init are switched to, and what memory they hold.
func watch(p peer, idle time.Duration) error {
	cmd := exec.Command(p.args[0], append(p.args[1:], "sleep", "1000")...)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		// The init first, so that its command's end finds nobody to report to; then the command, by PID.
		children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
		var pids []string
		for _, file := range children {
			b, _ := os.ReadFile(file)
			pids = append(pids, strings.Fields(string(b))...)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for _, s := range pids {
			if pid, err := strconv.Atoi(s); err == nil {
				if process, err := os.FindProcess(pid); err == nil {
					_ = process.Kill()
				}
			}
		}
	}()
	time.Sleep(time.Second) // let it come to rest: this is a measurement
	before, threads := switches(cmd.Process.Pid)
	time.Sleep(idle)
	after, _ := switches(cmd.Process.Pid)
	fmt.Printf("%-18s idle for %v: %d wake-ups, %d threads, %s private dirty, %s PSS\n", p.name, idle, after-before, threads,
		smaps(cmd.Process.Pid, "Private_Dirty:"), smaps(cmd.Process.Pid, "Pss:"))
	return nil
}

func switches(pid int) (sum, threads int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.HasSuffix(name, "ctxt_switches") {
				n, _ := strconv.Atoi(strings.TrimSpace(value))
				sum += n
			}
		}
	}
	return sum, len(files)
}

func smaps(pid int, key string) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, key); ok {
			return strings.TrimSpace(value)
		}
	}
	return "?"
}
