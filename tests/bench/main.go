// Command bench measures finite beside its peers, all of them in one run and by turns, so that
// whatever else the machine does meets them all. It measures and never judges; how a figure came
// about is in the file it comes from:
//
//   - start.go, hyperfine.go: the time of a whole run of a tiny program, and until its first byte;
//   - forward.go: the time from a signal to the init to the command's handler, and signals per
//     second;
//   - idle.go: wake-ups, processor time, processes, threads and memory of idle inits;
//   - orphans.go: the reaping of orphans, one after the other and all at once;
//   - deadline.go: how late a deadline is;
//   - kill.go: how long it takes to kill a tree, and what is left where nobody does;
//   - size.go: what it adds to an image.
//
// An init may be any number of processes: processes.go finds them. result.go has the ceilings.
//
// Usage, in this directory:
//
//	go run . [-short] [-only start,idle,...] [-before finite] [-o directory] [../../bin/finite]
//
// With -o it writes results.json, tables.md and the pictures there. With -short it does everything
// once or a few times, to show that it works: its figures mean nothing. With -before another
// finite, that of an earlier state, is measured beside this one. Peers that are not installed are
// left out; what needs root is left out without it.
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
	name string
	args []string // what stands in front of the command
	pkg  string   // Debian's
	init bool     // it is PID 1 of a PID namespace, which needs root
}

// The names of finite, of that of an earlier state, and of the smallest program in Go that does the
// work.
const (
	current  = "finite"
	earlier  = "finite before"
	smallest = "smallest Go program"
)

// command returns the command that has the init run another one.
func (p peer) command(args ...string) *exec.Cmd {
	all := slices.Concat(p.args, args)
	cmd := exec.Command(all[0], all[1:]...)
	// As a container's init has it. The scheduler cares, too (sched(7), autogroup).
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p.init {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	return cmd
}

// with returns the peer with options, which are in its name. Its arguments end with "--".
func (p peer) with(options ...string) peer {
	p.name += " " + strings.Join(options, " ")
	p.args = slices.Insert(slices.Clone(p.args), len(p.args)-1, options...)
	return p
}

// inits returns the peers as PID 1 of a PID namespace each, and nothing without root.
func inits(peers []peer) (all []peer) {
	if needsRoot("PID 1") {
		return nil
	}
	for _, p := range peers {
		p.name, p.init = p.name+asInit, true
		all = append(all, p)
	}
	return all
}

// asInit ends the names of those that are PID 1.
const asInit = ", PID 1"

// bench is one run of the benchmark.
type bench struct {
	result
	short    bool
	dir      string // for programs
	finite   string
	receiver string
	say      string
	floor    string
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
	before := flag.String("before", "", "a finite of an earlier state, to be measured as well")
	dir := flag.String("o", "", "where to write the results to")
	flag.Parse()
	finite := flag.Arg(0)
	if finite == "" {
		finite = "../../bin/finite"
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, finite, *before, *short, *only, *dir)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures everything. It ends early, and leaves nothing behind, when ctx does.
func run(ctx context.Context, finite, before string, short bool, only, out string) error {
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
	in := func(name string) string { return filepath.Join(dir, name) }
	b := &bench{
		short:    short,
		dir:      dir,
		finite:   in("finite"),
		receiver: in("receiver"),
		say:      in("say"),
		floor:    in("floor"),
	}
	// A copy, as every installation makes one: what the kernel has of a file's pages depends on how
	// it was written, and on what was done with it since.
	if err := copyFile(b.finite, finite); err != nil {
		return err
	}
	if err := build(ctx, b.floor, "./floor", "-s -w"); err != nil {
		return err
	}
	if err := build(ctx, b.receiver, "./receiver", "-s -w -E main.entry"); err != nil {
		return err
	}
	if err := build(ctx, b.say, "./say", "-s -w -E main.entry"); err != nil {
		return err
	}
	all := []peer{
		{name: "tini-static", args: []string{"tini-static", "-s", "--"}, pkg: "tini"},
		// As it is used, without -c: the command has a session of its own, and signals go to its
		// process group, which is the command alone.
		{name: "dumb-init", args: []string{"dumb-init", "--"}, pkg: "dumb-init"},
		{name: "catatonit", args: []string{"catatonit", "--"}, pkg: "catatonit"},
		{name: current, args: []string{b.finite, "--"}},
	}
	if before != "" {
		path := in("finite-before")
		if err := copyFile(path, before); err != nil {
			return err
		}
		all = append(all, peer{name: earlier, args: []string{path, "--"}})
	}
	b.peers = installed(all)
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
	fmt.Print(text("Ceilings", b.ceilingTable()))
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

// named returns the peers of these names that there are.
func (b *bench) named(names ...string) (found []peer) {
	for _, p := range b.peers {
		if slices.Contains(names, p.name) {
			found = append(found, p)
		}
	}
	return found
}

// finites returns finite, and that of an earlier state if there is one.
func (b *bench) finites() []peer { return b.named(current, earlier) }

// build compiles one of the benchmark's own programs. As make does with finite, it leaves a copy of
// what the linker has written, which starts faster than that itself.
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

// writeBack has a file on the disk. Until then the kernel counts what a process has mapped of it as
// that process's dirty memory.
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
