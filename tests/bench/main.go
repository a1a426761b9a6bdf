// Command bench measures finite beside its peers, all of them in one run and by turns, so that whatever else the machine does meets them
// all. It measures and never judges; how a figure came about is in the file it comes from:
//
//   - start.go, hyperfine.go: the time of a whole run of /bin/true, and until the command's first instruction;
//   - forward.go: the time from a signal that is sent to the init to the command's handler of it, and how many pass in a second;
//   - idle.go: wake-ups, processor time, threads and memory of inits that have nothing to do;
//   - orphans.go: the reaping of orphans, one after the other and all at once;
//   - deadline.go: how late a deadline is;
//   - kill.go: how long it takes to kill a tree, and what is left where nobody does;
//   - size.go: what it adds to an image.
//
// Usage, in this directory:
//
//	go run . [-short] [-only start,idle,...] [-o directory] [../../bin/finite]
//
// With -o it writes results.json, tables.md and the pictures there. With -short it does everything once or a few times, to show that it works:
// its figures mean nothing. Peers that are not installed are left out; what needs root is left out without it.
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
	"strings"
	"syscall"
	"time"
)

// peer is an init, or what is measured in the place of one.
type peer struct {
	name     string
	args     []string // what stands in front of the command
	pkg      string   // Debian's
	forwards bool     // it passes signals on
	reaps    bool     // it takes care of orphans
}

// smallest is the name of the smallest program in Go that does the work.
const smallest = "smallest Go program"

// command returns the command that has the init run another one.
func (p peer) command(args ...string) *exec.Cmd {
	all := slices.Concat(p.args, args)
	return exec.Command(all[0], all[1:]...)
}

// bench is one run of the benchmark.
type bench struct {
	result
	short    bool
	dir      string // for programs
	finite   string
	receiver string
	peers    []peer
}

// part is a measurement.
type part struct {
	name string
	run  func(*bench, context.Context) error
}

// parts are the measurements, in their order.
var parts = []part{
	{"start", (*bench).start},
	{"hyperfine", (*bench).hyperfine},
	{"forwarding", (*bench).forwarding},
	{"throughput", (*bench).throughput},
	{"idle", (*bench).idle},
	{"memory", (*bench).memory},
	{"orphans", (*bench).orphans},
	{"deadline", (*bench).deadline},
	{"kill", (*bench).kill},
	{"left", (*bench).left},
	{"size", (*bench).size},
}

func main() {
	short := flag.Bool("short", false, "do everything a few times only")
	only := flag.String("only", "", "the measurements to make (default: all)")
	dir := flag.String("o", "", "where to write the results to")
	flag.Parse()
	finite := flag.Arg(0)
	if finite == "" {
		finite = "../../bin/finite"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, finite, *short, *only, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures everything. It ends early, and leaves nothing behind, when ctx does.
func run(ctx context.Context, finite string, short bool, only, out string) error {
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-only %s: no such measurement", name)
		}
	}
	dir, err := os.MkdirTemp("", "finite-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{short: short, dir: dir, finite: filepath.Join(dir, "finite"), receiver: filepath.Join(dir, "receiver")}
	floor := filepath.Join(dir, "floor")
	// A copy, as every installation makes one: what the kernel has of a file's pages depends on how it was written, and on what was done with it since.
	if err := copyFile(b.finite, finite); err != nil {
		return err
	}
	if err := build(ctx, floor, "./floor", "-s -w"); err != nil {
		return err
	}
	if err := build(ctx, b.receiver, "./receiver", "-s -w -E main.entry"); err != nil {
		return err
	}
	b.peers = installed([]peer{
		{"tini-static", []string{"tini-static", "-s", "--"}, "tini", true, true},
		// As it is used, without -c: the command has a session of its own, and signals go to its process group, which is the command alone.
		{"dumb-init", []string{"dumb-init", "--"}, "dumb-init", true, true},
		{"catatonit", []string{"catatonit", "--"}, "catatonit", true, true},
		{smallest, []string{floor}, "", false, false},
		{"finite", []string{b.finite, "--"}, "", true, true},
	})
	for _, p := range b.peers {
		if err := writeBack(p.args[0]); err != nil {
			return err
		}
	}
	b.describe(b.peers)
	for _, part := range parts {
		if len(wanted) > 0 && !slices.Contains(wanted, part.name) {
			continue
		}
		if err := part.run(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	b.ceilings()
	if out == "" {
		return nil
	}
	return b.save(out)
}

// times returns how often to do something.
func (b *bench) times(long, short int) int {
	if b.short {
		return short
	}
	return long
}

// noCgroup returns why finite cannot make a cgroup for a command here, or "" if it can.
func (b *bench) noCgroup(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, b.finite, "--cgroup", "require", "--", "true").CombinedOutput()
	if err == nil {
		return ""
	}
	if text := strings.TrimSpace(string(out)); text != "" {
		return text
	}
	return err.Error()
}

// reapers are the peers that take care of orphans.
func (b *bench) reapers() []peer {
	return slices.DeleteFunc(slices.Clone(b.peers), func(p peer) bool { return !p.reaps })
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
	return copyFile(output, linked)
}

func copyFile(to, from string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, program, 0o755)
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

// sample is what was measured of one subject.
type sample []time.Duration

// at returns the value below which the part q of the values is, in units.
func (s sample) at(q float64, unit time.Duration) number {
	if len(s) == 0 {
		return none
	}
	slices.Sort(s)
	return number(float64(s[int(q*float64(len(s)-1))]) / float64(unit))
}

// inNamespace makes cmd PID 1 of a PID namespace, which needs root.
func inNamespace(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Setsid: true}
	return cmd
}

// needsRoot reports whether a measurement must be left out, and says so.
func needsRoot(what string) bool {
	if os.Geteuid() == 0 {
		return false
	}
	fmt.Printf("%s: left out, because it needs root\n", what)
	return true
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
