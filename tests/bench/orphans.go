package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"
)

// The commands of the measurements of orphans. Each says "ready", does its work when it is told to,
// and says "done" when no other process is left in the namespace but the init: kill(2) of -1 counts
// zombies, too. Then it waits to be told to end.
const (
	// perlEmpty waits until everybody else is gone, and looks each so many seconds: the kernel goes
	// through all processes for that, under a lock that those that end need, too.
	perlEmpty = `select undef, undef, undef, $ARGV[1] while kill 0, -1; print "done\n"; <STDIN>;`

	// perlOneByOne makes orphans one after the other, each of which ends at once.
	perlOneByOne = `$| = 1; print "ready\n"; <STDIN>;
for (1 .. $ARGV[0]) { my $p = fork; if (!$p) { exit if fork; exit } waitpid $p, 0 }` + perlEmpty

	// perlAtOnce makes orphans that all end at the same time, when the last writer of a pipe is
	// gone.
	perlAtOnce = `$| = 1; pipe R, W; my $p = fork;
if (!$p) { close W; for (1 .. $ARGV[0]) { if (!fork) { sysread R, $_, 1; exit } } exit }
waitpid $p, 0; close R; print "ready\n"; <STDIN>; close W;` + perlEmpty
)

// orphans measures the reaping of orphans by an init that is PID 1: of some that are made and end
// one after the other, and of many that all end at once. The time includes the kernel's and the
// command's own, which is the same for all. Of the former it also tells how long the init was on a
// processor for each, and how many tasks more than at the beginning there were at most, in samples
// a millisecond apart: zombies, but for a few.
func (b *bench) orphans(ctx context.Context) error {
	if needsRoot("orphans") {
		return nil
	}
	one, burst := b.times(5000, 20), b.times(15000, 50)
	peers := inits(b.peers)
	oneTimes, burstTimes := make([]sample, len(peers)), make([]sample, len(peers))
	processor, zombies := make([]sample, len(peers)), make([]int, len(peers))
	for range b.times(5, 1) {
		for _, i := range rand.Perm(len(peers)) { // the kernel is not done with the orphans of whoever came before
			p := peers[i]
			took, init, most, err := orphansUnder(ctx, p, perlOneByOne, one, 500*time.Microsecond)
			if err != nil {
				return err
			}
			oneTimes[i], processor[i], zombies[i] = append(
				oneTimes[i],
				took,
			), append(
				processor[i],
				init/time.Duration(one),
			), max(
				zombies[i],
				most,
			)
		}
	}
	for range b.times(7, 1) {
		for _, i := range rand.Perm(len(peers)) {
			p := peers[i]
			took, _, _, err := orphansUnder(ctx, p, perlAtOnce, burst, 20*time.Millisecond)
			if err != nil {
				return err
			}
			burstTimes[i] = append(burstTimes[i], took)
		}
	}
	out := section{
		ID: "orphans", Title: "Orphans", plot: 4,
		How: fmt.Sprintf(
			"%d orphans that are made and end one after the other, and %d that end at once, until the last one is reaped. The init is PID 1. "+
				"Medians, by turns in random order; the time is mostly the kernel's, for fork(2) and exit(2).",
			one,
			burst,
		),
		Columns: []string{"one by one, ms", orphanProcessor, "zombies at most", "at once, ms"},
	}
	for i, p := range peers {
		out.Rows = append(out.Rows, row{p.name, []number{
			oneTimes[i].at(
				0.5,
				time.Millisecond,
			), processor[i].at(0.5, time.Microsecond), number(zombies[i]), burstTimes[i].at(0.5, time.Millisecond),
		}})
	}
	b.add(out)
	return nil
}

// orphansUnder runs one of the commands with a number of orphans, and returns how long its work
// took, how long the init was on a processor meanwhile, and the highest number of tasks in the
// system above that before.
func orphansUnder(
	ctx context.Context,
	p peer,
	script string,
	count int,
	look time.Duration,
) (took, processor time.Duration, most int, err error) {
	c, err := startTalker(p, "perl", "-e", script, strconv.Itoa(count), fmt.Sprint(look.Seconds()))
	if err != nil {
		return 0, 0, 0, err
	}
	defer c.stop()
	if err := c.expect(ctx, "ready"); err != nil {
		return 0, 0, 0, err
	}
	before, err := activityOf(c.cmd.Process.Pid)
	if err != nil {
		return 0, 0, 0, err
	}
	tasks := countTasks()
	done, sampled := make(chan struct{}), make(chan int)
	go func() {
		most := 0
		for {
			select {
			case <-done:
				sampled <- most
				return
			case <-time.After(time.Millisecond):
				most = max(most, countTasks()-tasks)
			}
		}
	}()
	begin := time.Now()
	_, err = io.WriteString(c.in, "go\n")
	if err == nil {
		err = c.expect(ctx, "done")
	}
	took = time.Since(begin)
	close(done)
	most = <-sampled
	if err != nil {
		return 0, 0, 0, err
	}
	after, err := activityOf(c.cmd.Process.Pid)
	return took, after.since(before).running, most, err
}

const orphanProcessor = "init's processor time for each, µs"

// countTasks returns the number of tasks in the system, zombies included (/proc/loadavg).
func countTasks() int {
	b, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(b))
	if len(fields) < 4 {
		return 0
	}
	_, total, _ := strings.Cut(fields[3], "/")
	n, _ := strconv.Atoi(total)
	return n
}

// expect waits for a line of the command's.
func (c *talker) expect(ctx context.Context, line string) error {
	got := make(chan string, 1)
	go func() {
		text, _ := c.out.ReadString('\n')
		got <- strings.TrimSpace(text)
	}()
	select {
	case text := <-got:
		if text != line {
			return fmt.Errorf("%s: it says %q, not %q", c.name, text, line)
		}
		return nil
	case <-time.After(2 * time.Minute):
		return fmt.Errorf("%s: it does not say %q", c.name, line)
	case <-ctx.Done():
		return ctx.Err()
	}
}
