//go:build amd64

package faults

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

const (
	shortForm = 30 * time.Second // where nobody says how long

	stall = 500 * time.Millisecond // without a processor, from which on a case that fails is played again
	plays = 4                      // times, at most

	recordings = 3 // of each setting: the schedule of a supervisor differs
)

var (
	seedFlag     = flag.Uint64("faults.seed", 0, "the `seed` of the order of the cases; 0: a random one")
	durationFlag = flag.Duration("faults.duration", shortForm, "how long cases are begun")
	atOnceFlag   = flag.Int("faults.parallel", 8, "how many cases at a time")
	caseFlag     = flag.String("faults.case", "", "play this `case` alone, and print what was seen")
	onlyFlag     = flag.String("faults.only", "", "play only cases whose key has all of these `texts`, separated by commas")
	timesFlag    = flag.Int("faults.times", 1, "how often the case is played")
)

func TestMain(m *testing.M) {
	cage.Main(m, cage.Roles{"observer": func() { playObserver(cage.Order[place]()) }}, nil)
}

func TestFaults(t *testing.T) {
	needTracing(t)
	workers := startWorkers(t, *atOnceFlag)
	sum := newSummary()
	defer func() { fmt.Print(sum) }()
	if *caseFlag != "" {
		c, err := parseCase(*caseFlag)
		if err != nil {
			t.Fatal(err)
		}
		for range *timesFlag {
			seen, _ := workers[0].play(&order{c.setting.name, c.target()})
			err := c.check(&seen)
			fmt.Printf("%v\n%+v\n%v\n", c, seen, err)
			if sum.add(c, &seen, err); err != nil {
				t.Error(err)
			}
		}
		return
	}
	seed := *seedFlag
	for seed == 0 {
		seed = rand.Uint64() >> 16 // short enough to be typed
	}
	points := record(t, workers[0])
	for i := range points {
		sum.exempts(&points[i])
	}
	all, kinds := plan(points, seed)
	sum.of = [2]int{len(points), kinds}
	fmt.Printf("faults: seed %d; %d points, %d cases, %d kinds of fault\n", seed, len(points), len(all), kinds)
	playAll(t, workers, all, sum)
}

// needTracing skips a test where finite cannot be traced.
func needTracing(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		testkit.Missing(t, "needs root to trace what changes its dumpable attribute")
	}
	err := ptrace(unix.PTRACE_GET_SYSCALL_INFO, os.Getpid(), 0, 0)
	if err == unix.EIO || err == unix.ENOSYS || err == unix.EPERM {
		testkit.Missing(t, "needs ptrace(2) of Linux 5.3: %v", err)
	}
}

// startWorkers makes workers, each with a cgroup of its own.
func startWorkers(t *testing.T, n int) (workers []*worker) {
	t.Helper()
	for range n {
		workers = append(workers, &worker{t: t, dir: t.TempDir(), cgroup: testkit.Room(t)})
	}
	return workers
}

// record finds the points of all settings.
func record(t *testing.T, w *worker) (points []point) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		set := settings[name]
		most := map[countKey]int{}
		for range recordings {
			s, err := w.play(&order{Setting: name})
			if err == nil {
				err = (&oneCase{point{setting: set}, ""}).check(&s)
			}
			if err != nil {
				t.Fatalf("%s without a fault: %v\nstderr: %s", name, err, s.Stderr)
			}
			for _, c := range s.Counts {
				key := countKey{c.Kind, c.Number}
				most[key] = max(most[key], c.Times)
			}
		}
		for key, times := range most {
			of := callNumbered(key.number)
			if of == nil {
				t.Errorf("%s: the table lacks system call %d, of a %s", name, key.number, key.kind)
				continue
			}
			for n := range times {
				points = append(points, point{set, key.kind, of, n + 1})
			}
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		return strings.Compare((&oneCase{point: a}).String(), (&oneCase{point: b}).String())
	})
	return points
}

// playAll plays cases until the time is over.
func playAll(t *testing.T, workers []*worker, all []*oneCase, sum *summary) {
	t.Helper()
	canaries := testkit.KeepCanaries(t)
	cases := make(chan *oneCase)
	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() {
			for c := range cases {
				play(t, w, c, sum, canaries)
			}
		})
	}
	begin := time.Now()
	for _, c := range all {
		if time.Since(begin) > *durationFlag {
			break
		}
		if c.hasAll(*onlyFlag) {
			cases <- c
		}
	}
	close(cases)
	wg.Wait()
	for _, w := range workers {
		w.end()
	}
}

// play plays a case and checks it. One in which the machine stood still proves nothing, if it
// fails: it is played again. So is one in which the call did not come.
func play(t *testing.T, w *worker, c *oneCase, sum *summary, canaries *testkit.Canaries) {
	var s seen
	var err error
	for again := range plays {
		begin := time.Now()
		if s, err = w.play(&order{c.setting.name, c.target()}); err == nil {
			err = c.check(&s)
		}
		switch {
		case again == plays-1:
		case err == nil && !s.Came && again == 0:
			continue
		case err != nil && canaries.Missed(begin) > stall:
			sum.repeat()
			continue
		}
		break
	}
	if sum.add(c, &s, err); err == nil {
		return
	}
	// At once: the test may be stopped before its end.
	fmt.Printf("faults: %v: %v\n", c, err)
	t.Errorf("%v: %v\nseen: %+v\nagain: make faults CASE=%v", c, err, s, c)
}
