package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// idle has all inits run a command that does nothing, leaves them alone for a while, and reads from /proc, for each init's own process, how
// often its threads went to sleep again after they had been woken up, how long they were on a processor (sched-stats.rst), and how many there are.
func (b *bench) idle(ctx context.Context) error {
	short, long := time.Duration(b.times(10, 1))*time.Second, time.Duration(b.times(60, 2))*time.Second
	var subjects []*subject
	for _, p := range b.peers {
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
		before[i] = activityOf(s.cmd.Process.Pid)
	}
	first := make([]activity, len(subjects))
	if err := sleep(ctx, short); err != nil {
		return err
	}
	for i, s := range subjects {
		first[i] = activityOf(s.cmd.Process.Pid)
	}
	if err := sleep(ctx, long-short); err != nil {
		return err
	}
	out := section{
		ID: "idle", Title: fmt.Sprintf("Idle for %v", long),
		Columns: []string{"wake-ups in the first sixth", "wake-ups", "processor time, µs", "threads"},
		How: "An init whose command does nothing, from one second after the start on. tini wakes up once a second to look for zombies, the Go runtime " +
			"once a minute to look for garbage, which counts as two.",
	}
	for i, s := range subjects {
		after := activityOf(s.cmd.Process.Pid)
		out.Rows = append(out.Rows, row{s.name, []number{
			number(first[i].switches - before[i].switches), number(after.switches - before[i].switches), number(after.running-before[i].running) / number(time.Microsecond), number(after.threads),
		}})
	}
	b.add(out)
	return nil
}

// activity is what a process's threads have done so far.
type activity struct {
	threads  int
	switches int           // voluntary context switches: each is the end of something that a thread was woken up for
	running  time.Duration // on a processor
}

func activityOf(pid int) (a activity) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	a.threads = len(tasks)
	for _, task := range tasks {
		n, _ := strconv.Atoi(field(task+"/status", "voluntary_ctxt_switches"))
		a.switches += n
		b, _ := os.ReadFile(task + "/schedstat")
		if first, _, ok := strings.Cut(string(b), " "); ok {
			n, _ := strconv.ParseInt(first, 10, 64)
			a.running += time.Duration(n)
		}
	}
	return a
}

// many is how many inits of one kind there are on a node at the same time: 110 pods is what a kubelet allows.
const many = 110

// memory reads what an init holds of memory: private dirty is what this process alone has written to, PSS adds its part of what it shares with
// others (proc_pid_smaps(5)), which is little if many run the same program.
func (b *bench) memory(ctx context.Context) error {
	n := b.times(many, 3)
	out := section{
		ID: "memory", Title: "Memory", plot: 4,
		How: fmt.Sprintf("One init, and %d of the same file, each with a command that does nothing. Private dirty is the init's alone; PSS has its part of what it "+
			"shares with others.", n),
		Columns: []string{"alone: private dirty, kB", "alone: PSS, kB", "of many, each: private dirty, kB", "of many, each: PSS, kB"},
	}
	for _, p := range b.peers {
		values, err := b.memoryOf(ctx, p, n)
		if err != nil {
			return err
		}
		out.Rows = append(out.Rows, row{p.name, values})
	}
	b.add(out)
	return nil
}

func (b *bench) memoryOf(ctx context.Context, p peer, n int) (values []number, err error) {
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
		for _, key := range []string{"Private_Dirty", "Pss"} {
			sum := number(0)
			for _, s := range subjects {
				kb, err := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", s.cmd.Process.Pid), key)
				if err != nil {
					return append(values, none, none, none, none)[:4], nil // no CONFIG_PROC_PAGE_MONITOR
				}
				sum += number(kb)
			}
			values = append(values, (sum / number(count)).rounded())
		}
	}
	return values, nil
}
