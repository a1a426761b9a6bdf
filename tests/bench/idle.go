package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// idle has all inits run a command that does nothing, leaves them alone for a minute, and reads
// from /proc how often the threads of each went to sleep again after they had been woken up, and
// how long they were on a processor. finite does so with a deadline, too.
func (b *bench) idle(ctx context.Context) error {
	if needsRoot("idle") {
		return nil
	}
	took := time.Duration(b.times(60, 1)) * time.Second
	var limited []peer
	for _, p := range b.finites() {
		limited = append(limited, p.with("-t", "1h"))
	}
	limited = b.usable(limited...)
	var subjects []*subject
	for _, p := range slices.Concat(b.peers, limited, inits(b.peers), inits(limited)) {
		s, err := start(p, b.receiver)
		if err != nil {
			return err
		}
		defer s.stop()
		subjects = append(subjects, s)
	}
	if err := sleep(ctx, time.Second); err != nil { // let them come to rest: this is a measurement
		return err
	}
	before := make([]activity, len(subjects))
	for i, s := range subjects {
		var err error
		if before[i], err = activityOf(s.cmd.Process.Pid); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if err := sleep(ctx, took); err != nil {
		return err
	}
	out := section{
		ID: "idle", Title: fmt.Sprintf("Idle for %v", took), Columns: []string{"wake-ups", "processor time, µs"},
		How: "An init whose command does nothing, all of its processes together, from one second after the start on. tini wakes up once a second to look for " +
			"zombies, a Go runtime once a minute to look for garbage, which counts as two.",
	}
	for i, s := range subjects {
		after, err := activityOf(s.cmd.Process.Pid)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		did := after.since(before[i])
		out.Rows = append(
			out.Rows,
			row{s.name, []number{number(did.switches), number(did.running) / number(time.Microsecond)}},
		)
	}
	b.add(out)
	return nil
}

// many is how many inits of one kind there are on a node at the same time: 110 pods is what a
// kubelet allows.
const many = 110

// memory reads how many processes and threads an init is while its command runs, and what they hold
// of memory. Private dirty is what these processes have written to and share with nobody else. PSS
// adds their part of what they share with others (proc_pid_smaps(5)), which is little if many run
// the same program.
func (b *bench) memory(ctx context.Context) error {
	if needsRoot("memory") {
		return nil
	}
	n := b.times(many, 3)
	out := section{
		ID: "memory", Title: "Processes and memory", plot: 6,
		How: fmt.Sprintf(
			"One init, and %d of the same file, each with a command that does nothing: all processes of the init, without the command. Private dirty "+
				"is theirs alone, and what they share with each other counts once. PSS has their part of what "+
				"they share with others.",
			n,
		),
		Columns: []string{
			"processes", "threads", "alone: private dirty, kB", "alone: PSS, kB",
			"of many, each: private dirty, kB", "of many, each: PSS, kB",
		},
	}
	for _, p := range slices.Concat(b.peers, inits(b.peers)) {
		values, err := b.memoryUnder(ctx, p, n)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		out.Rows = append(out.Rows, row{p.name, values})
	}
	b.add(out)
	return nil
}

func (b *bench) memoryUnder(ctx context.Context, p peer, n int) (values []number, err error) {
	var subjects []*subject
	defer func() {
		for _, s := range subjects {
			s.stop()
		}
	}()
	for _, count := range []int{1, n} {
		for len(subjects) < count {
			s, err := start(p, b.receiver)
			if err != nil {
				return nil, err
			}
			subjects = append(subjects, s)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return nil, err
		}
		var dirty, pss number
		for _, s := range subjects {
			m, err := memoryOf(s.cmd.Process.Pid)
			if err != nil {
				return nil, err
			}
			if len(subjects) == 1 {
				values = append(values, number(m.processes), number(m.threads))
			}
			dirty, pss = dirty+m.dirty, pss+m.pss
		}
		values = append(values, (dirty / number(count)).rounded(), (pss / number(count)).rounded())
	}
	return values, nil
}
