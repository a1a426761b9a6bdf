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

// watch has all inits run a command that does nothing, leaves them alone for a while, and reads from /proc, for each init's own process, how
// often its threads went to sleep again after they had been woken up, how many threads there are, and what memory they hold: private dirty is
// what this process alone has written to, PSS adds its part of what it shares with others (proc_pid_smaps(5)).
func watch(ctx context.Context, peers []peer, receiver string, idle time.Duration) error {
	var subjects []*subject
	for _, p := range peers {
		s, err := start(p, receiver)
		if err != nil {
			return err
		}
		defer s.stop()
		subjects = append(subjects, s)
	}
	if err := sleep(ctx, time.Second); err != nil { // let them come to rest: this is a measurement
		return err
	}
	before := make([]int, len(subjects))
	for i, s := range subjects {
		before[i], _ = switches(s.cmd.Process.Pid)
	}
	if err := sleep(ctx, idle); err != nil {
		return err
	}
	fmt.Printf("\nidle for %v\n", idle)
	fmt.Printf("%-18s %10s %10s %14s %10s\n", "", "wake-ups", "threads", "private dirty", "PSS")
	for i, s := range subjects {
		pid := s.cmd.Process.Pid
		after, threads := switches(pid)
		fmt.Printf("%-18s %10d %10d %14s %10s\n", s.name, after-before[i], threads, smaps(pid, "Private_Dirty:"), smaps(pid, "Pss:"))
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// switches adds up the voluntary context switches of a process's threads: each is the end of something that a thread was woken up for.
func switches(pid int) (sum, threads int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if value, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
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
