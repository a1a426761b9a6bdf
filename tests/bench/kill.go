package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// perlEscapees makes orphans that each have a session of their own and ignore SIGTERM, and waits.
const perlEscapees = `use POSIX (); $| = 1; $SIG{TERM} = "IGNORE"; my $p = fork;
if (!$p) { for (1 .. $ARGV[0]) { if (!fork) { POSIX::setsid(); close STDOUT; sleep 10 while 1 } } exit }
waitpid $p, 0; print "ready\n"; sleep 10 while 1`

// kill measures how long it takes to kill a tree that does not end when it is asked to: from the
// SIGTERM to finite, which has no patience, to its end. What it is measured against is the kernel,
// which kills a PID namespace when its PID 1 dies. With a cgroup of the command's own it is the
// kernel, too, that does finite's work (cgroup.kill).
func (b *bench) kill(ctx context.Context) error {
	if needsRoot("kill") {
		return nil
	}
	sizes := []int{100, 1000, 3000, 10000}
	if b.short {
		sizes = []int{10}
	}
	if kb, _ := kilobytes("/proc/meminfo", "MemAvailable"); kb < 8<<20 && !b.short {
		sizes = sizes[:2] // perl takes a few hundred kB for each
	}
	noCgroup := b.noCgroup(ctx)
	subjects := []peer{{name: kernel, init: true}}
	for _, finite := range []peer{
		{name: "finite, PID 1", init: true},
		{name: "finite, subreaper"},
	} {
		finite.args = []string{
			b.finite,
			"--log-level",
			"error",
			"--stop-grace",
			"0",
			"-k",
			"0",
			"--cgroup",
			"off",
			"--",
		}
		subjects = append(subjects, b.usable(finite)...)
		if noCgroup == "" {
			finite.name += ", with a cgroup"
			finite.args = slices.Clone(finite.args)
			finite.args[slices.Index(finite.args, "off")] = "require"
			subjects = append(subjects, b.usable(finite)...)
		}
	}
	out := section{
		ID: "kill", Title: "Killing a tree",
		How: "From the signal to the end of the whole tree: processes that each have a session of their own, are orphans and ignore SIGTERM. " +
			"With a cgroup is `--cgroup require`, without is `--cgroup off`. Medians.",
	}
	if noCgroup != "" {
		out.How += " There are no figures with a cgroup, because none can be made here: `" + noCgroup + "`."
	}
	times := make([][]sample, len(subjects))
	for i := range times {
		times[i] = make([]sample, len(sizes))
	}
	for k, size := range sizes {
		out.Columns = append(out.Columns, fmt.Sprintf("%d processes, ms", size))
		for range b.times(5, 1) {
			for _, i := range rand.Perm(len(subjects)) {
				s := subjects[i]
				took, err := killUnder(ctx, s, size)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				times[i][k] = append(times[i][k], took)
			}
		}
		if size == 3000 {
			out.plot = k + 1
		}
	}
	for i, s := range subjects {
		r := row{Name: s.name}
		for k := range sizes {
			r.Values = append(r.Values, times[i][k].at(0.5, time.Millisecond))
		}
		out.Rows = append(out.Rows, r)
	}
	b.add(out)
	return nil
}

// kernel is the name of the one that has nobody but the kernel.
const kernel = "the kernel, SIGKILL to PID 1"

// killUnder makes a tree and returns how long its end takes.
func killUnder(ctx context.Context, p peer, size int) (time.Duration, error) {
	sig := syscall.SIGTERM
	if p.name == kernel {
		sig = syscall.SIGKILL
	}
	c, err := startTalker(p, "perl", "-e", perlEscapees, strconv.Itoa(size))
	if err != nil {
		return 0, err
	}
	defer c.stop()
	if err := c.expect(ctx, "ready"); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := c.cmd.Process.Signal(sig); err != nil {
		return 0, err
	}
	late := time.AfterFunc(time.Minute, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	_ = c.cmd.Wait()
	took := time.Since(begin)
	if took > time.Minute {
		return 0, errors.New("it does not end")
	}
	return took, nil
}

// left counts what is left when a command has left two daemons behind, or has run into its
// deadline, in a container that goes on: nobody is PID 1.
func (b *bench) left(context.Context) error {
	out := section{
		ID: "left", Title: "What is left", Columns: []string{"after the command's exit", "after a deadline"},
		How: "A command that starts two daemons, with setsid(2), in a container that goes on (`docker exec`): how many of them run when it has exited, or when it ran " +
			"into its deadline.",
	}
	type subject struct {
		name           string
		exit, deadline []string
	}
	subjects := []subject{
		{"tini-static", []string{"tini-static", "-s", "--"}, nil},
		{"dumb-init", []string{"dumb-init", "--"}, nil},
		{"catatonit", []string{"catatonit", "--"}, nil},
		{"GNU timeout", nil, []string{"timeout", "0.3"}},
	}
	finite := peer{name: current, args: []string{b.finite, "--"}}.with("--log-level", "error", "-k", "100ms")
	if limited := finite.with("-t", "300ms"); len(b.usable(limited)) > 0 {
		subjects = append(subjects, subject{current, finite.args, limited.args})
	}
	for _, s := range subjects {
		r := row{Name: s.name}
		for i, args := range [][]string{s.exit, s.deadline} {
			n := none
			if args != nil {
				if _, err := exec.LookPath(args[0]); err == nil {
					n = number(leftBy(args, []string{"exit", "sleep 1000"}[i]))
				}
			}
			r.Values = append(r.Values, n)
		}
		out.Rows = append(out.Rows, r)
	}
	b.add(out)
	return nil
}

// leftBy runs the command, and counts and kills what is left of it.
func leftBy(init []string, then string) (count int) {
	mark := fmt.Sprintf("BENCH_FINITE=%d.%d", os.Getpid(), time.Now().UnixNano())
	cmd := exec.Command(
		init[0],
		append(
			init[1:len(init):len(init)],
			"sh",
			"-c",
			"setsid sleep 1000 & setsid sleep 1000 & sleep 0.1; "+then,
		)...)
	cmd.Env = append(os.Environ(), mark)
	_ = cmd.Run()
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		if b, _ := os.ReadFile(file); strings.Contains(string(b), mark+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			_ = syscall.Kill(pid, syscall.SIGKILL)
			count++
		}
	}
	return count
}
