package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"runtime"
	"time"
)

// deadline measures how long after its deadline a command is over: the time of the whole run, less
// the time that was set. So it has the start of the one who sets the deadline, and the end of both.
// The command is sleep(1), which SIGTERM ends. It does so with all processors idle, and with a loop
// on each.
func (b *bench) deadline(ctx context.Context) error {
	type subject struct {
		name  string
		limit func(d time.Duration) peer
	}
	var subjects []subject
	for _, p := range b.finites() {
		limit := func(d time.Duration) peer { return p.with("-t", d.String()) }
		if len(b.usable(limit(patience))) > 0 {
			subjects = append(subjects, subject{p.name, limit})
		}
	}
	if path, err := exec.LookPath("timeout"); err == nil {
		subjects = append(
			subjects,
			subject{
				timeout,
				func(d time.Duration) peer { return peer{args: []string{path, fmt.Sprint(d.Seconds())}} },
			},
		)
	}
	limits := []struct {
		d time.Duration
		n int
	}{{50 * time.Millisecond, b.times(100, 2)}, {time.Second, b.times(40, 1)}, {10 * time.Second, b.times(3, 0)}}
	out := section{
		ID: "deadline", Title: "Excess over a deadline",
		How: "The whole run of `sleep 1000` with a deadline, less the deadline: the start of finite or " +
			"timeout is in it. Idle, and with a busy loop on each processor.",
	}
	for _, l := range limits {
		for _, q := range []string{"p50", "p99"} {
			out.Columns = append(out.Columns, fmt.Sprintf("%v: %s, ms", l.d, q))
		}
	}
	underLoad := func(load string) error {
		if load == "busy" {
			stop, err := burn(runtime.NumCPU())
			if err != nil {
				return err
			}
			defer stop()
		}
		rows := make([]row, len(subjects))
		for i, s := range subjects {
			rows[i].Name = s.name + ", " + load
		}
		for _, l := range limits {
			excess := make([]sample, len(subjects))
			for range l.n {
				for _, i := range rand.Perm(len(subjects)) {
					s := subjects[i]
					if ctx.Err() != nil {
						return ctx.Err()
					}
					cmd := s.limit(l.d).command("sleep", "1000")
					begin := time.Now()
					_ = cmd.Run() // 124
					excess[i] = append(excess[i], time.Since(begin)-l.d)
				}
			}
			for i := range rows {
				rows[i].Values = append(
					rows[i].Values,
					excess[i].at(0.5, time.Millisecond),
					excess[i].at(0.99, time.Millisecond),
				)
			}
		}
		out.Rows = append(out.Rows, rows...)
		return nil
	}
	for _, load := range []string{"idle", "busy"} {
		if err := underLoad(load); err != nil {
			return err
		}
	}
	b.add(out)
	return nil
}

// timeout is the name of GNU timeout.
const timeout = "GNU timeout"

// burn keeps processors busy until stop is called.
func burn(count int) (stop func(), err error) {
	var all []*exec.Cmd
	stop = func() {
		for _, cmd := range all {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	for range count {
		cmd := exec.Command("perl", "-e", "1 while 1")
		if err := cmd.Start(); err != nil {
			stop()
			return nil, err
		}
		all = append(all, cmd)
	}
	return stop, nil
}
