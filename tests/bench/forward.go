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
	// pause is the time from one answer to the next signal. It lets everyone go to sleep again, the
	// init's threads included.
	pause = 200 * time.Microsecond
)

// forwarding measures how long a signal takes through an init: from just before kill(2) of the init
// to the first instruction of the command's handler that reads a clock. Both ends read
// CLOCK_MONOTONIC by a system call. On the way are one change of processes from the sender to the
// init and one from there to the command, all of them asleep before; "direct" has no init, and is
// what it takes at least. How the answer gets back is not measured.
//
// It does so twice. Where all processors may be used, it is for the scheduler to say which one
// wakes up for whom, and that can be most of the time there is. On a single processor, which is a
// container with a cpuset of one, it is what the init executes, and whom it wakes up before the
// command gets its turn.
func (b *bench) forwarding(ctx context.Context) error {
	// The processors are this thread's, and its children inherit them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	title := fmt.Sprintf("Forwarding of a signal, on %d processors", all.Count())
	if err := b.forwardingOn(ctx, "forwarding", title); err != nil {
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
	return b.forwardingOn(ctx, "forwarding-one", "Forwarding of a signal, on one processor")
}

// receivers starts the receiver alone and under each init that forwards.
func (b *bench) receivers() (subjects []*subject, stop func(), err error) {
	stop = func() {
		for _, s := range subjects {
			s.stop()
		}
	}
	for _, p := range slices.Concat([]peer{{name: "direct"}}, b.peers, inits(b.peers)) {
		s, err := start(p, b.receiver)
		if err != nil {
			stop()
			return nil, nil, err
		}
		subjects = append(subjects, s)
	}
	return subjects, stop, nil
}

// forwardingOn measures on the processors that this thread has.
func (b *bench) forwardingOn(ctx context.Context, id, title string) error {
	signals := b.times(2000, 20)
	subjects, stop, err := b.receivers()
	if err != nil {
		return err
	}
	defer stop()
	times, err := sendByTurns(ctx, subjects, signals)
	if err != nil {
		return err
	}
	out := section{
		ID: id, Title: title, plot: 1,
		How: fmt.Sprintf(
			"From just before kill(2) of the init to the first instruction of the command's handler that reads a clock, %d signals to each, "+
				"by turns. Added is what is more than without an init.",
			signals,
		),
		Columns: []string{"p50, µs", "p90, µs", "p99, µs", "added, µs"},
	}
	for i, s := range subjects {
		at := func(q float64) number { return times[i].at(q, time.Microsecond) }
		out.Rows = append(
			out.Rows,
			row{s.name, []number{at(0.5), at(0.9), at(0.99), at(0.5) - times[0].at(0.5, time.Microsecond)}},
		)
	}
	b.add(out)
	return nil
}

// sendByTurns sends the signals and returns the times of each subject.
func sendByTurns(ctx context.Context, subjects []*subject, signals int) ([]sample, error) {
	// What the inits do after they started the command is not the signals' business.
	time.Sleep(100 * time.Millisecond)
	times := make([]sample, len(subjects))
	for i := range times {
		times[i] = make(sample, 0, signals)
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

// throughput sends signals as fast as they pass: there are never more than a few on their way,
// since the kernel and finite keep a limited number of them. They are real-time ones, of which each
// counts.
func (b *bench) throughput(ctx context.Context) error {
	const window = 64
	signals := b.times(100_000, 200)
	subjects, stop, err := b.receivers()
	if err != nil {
		return err
	}
	defer stop()
	out := section{
		ID: "throughput", Title: "Throughput of signals",
		How:     fmt.Sprintf("%d real-time signals to each, with %d on their way at most.", signals, window),
		Columns: []string{"signals in a second"},
	}
	for _, s := range subjects {
		begin := time.Now()
		for sent, answered := 0, 0; answered < signals; answered++ {
			for ; sent < signals && sent-answered < window; sent++ {
				if err := s.signal(realTime); err != nil {
					return err
				}
			}
			if _, err := s.answer(); err != nil {
				return fmt.Errorf("%s: signal %d of %d: %w", s.name, answered, signals, err)
			}
			if answered%1000 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		out.Rows = append(
			out.Rows,
			row{s.name, []number{number(float64(signals) / time.Since(begin).Seconds()).rounded()}},
		)
	}
	b.add(out)
	return nil
}

// realTime is the signal that the receiver handles besides SIGUSR1.
const realTime = unix.Signal(40)
