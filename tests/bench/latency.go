package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// series is how many signals a subject gets before it is the next one's turn.
	series = 20
	// pause is the time from one answer to the next signal. It lets everyone go to sleep again, the init's threads included.
	pause = 200 * time.Microsecond
)

// latency measures how long a signal takes through an init: from just before kill(2) of the init to the first instruction of the command's
// handler that reads a clock. Both ends read CLOCK_MONOTONIC by a system call. On the way are one change of processes from the sender to the
// init and one from there to the command, all of them asleep before; "direct" has no init, and is what it takes at least. How the answer gets
// back is not measured.
//
// It does so twice. Where all processors may be used, it is for the scheduler to say which one wakes up for whom, and that can be most of the
// time there is. On a single processor, which is a container with a cpuset of one, it is what the init executes, and whom it wakes up before
// the command gets its turn.
func latency(ctx context.Context, peers []peer, receiver string, signals int) error {
	// The processors are this thread's, and its children inherit them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	if err := latencyOn(ctx, fmt.Sprintf("%d processors", all.Count()), peers, receiver, signals); err != nil {
		return err
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("sched_setaffinity: %w", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &all) }()
	return latencyOn(ctx, "one processor", peers, receiver, signals)
}

// latencyOn measures on the processors that this thread has. Added is p50 less direct's, and the ratio is of p50 to that of tini-static or
// catatonit, whichever is the faster one.
func latencyOn(ctx context.Context, where string, peers []peer, receiver string, signals int) error {
	var subjects []*subject
	for _, p := range slices.Concat([]peer{{name: "direct", forwards: true}}, peers) {
		if !p.forwards {
			continue
		}
		s, err := start(p, receiver)
		if err != nil {
			return err
		}
		defer s.stop()
		subjects = append(subjects, s)
	}
	times, err := sendByTurns(ctx, subjects, signals)
	if err != nil {
		return err
	}
	fmt.Printf("\nfrom kill(2) to the command's handler on %s, %d signals to each, by turns\n", where, signals)
	fmt.Printf("%-18s %10s %10s %10s %10s %8s\n", "", "p50", "p90", "p99", "added", "ratio")
	var base time.Duration
	for i, s := range subjects {
		slices.Sort(times[i])
		if p50 := quantile(times[i], 0.5); (s.name == "tini-static" || s.name == "catatonit") && (base == 0 || p50 < base) {
			base = p50
		}
	}
	for i, s := range subjects {
		at := func(q float64) string { return micro(quantile(times[i], q)) }
		p50, ratio := quantile(times[i], 0.5), "-"
		if base != 0 {
			ratio = fmt.Sprintf("%.2f", float64(p50)/float64(base))
		}
		fmt.Printf("%-18s %10s %10s %10s %10s %8s\n", s.name, at(0.5), at(0.9), at(0.99), micro(p50-quantile(times[0], 0.5)), ratio)
	}
	return nil
}

// sendByTurns sends the signals and returns the times of each subject.
func sendByTurns(ctx context.Context, subjects []*subject, signals int) ([][]time.Duration, error) {
	time.Sleep(100 * time.Millisecond) // what the inits do after they started the command is not the signals' business
	times := make([][]time.Duration, len(subjects))
	for i := range times {
		times[i] = make([]time.Duration, 0, signals)
	}
	for done := 0; done < signals; done += series {
		for i, s := range subjects {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			for range min(series, signals-done) {
				rest(pause)
				d, err := s.send()
				if err != nil {
					return nil, err
				}
				times[i] = append(times[i], d)
			}
		}
	}
	return times, nil
}

// rest sleeps without the runtime's knowledge; [subject.answer] says why.
func rest(d time.Duration) {
	t := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}

// micro writes a duration as microseconds.
func micro(d time.Duration) string {
	return fmt.Sprintf("%.1fµs", float64(d)/float64(time.Microsecond))
}
