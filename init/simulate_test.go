package pid1

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	simulateSeed      = flag.Uint64("simulate.seed", 0, "the first history; 0: one at random")
	simulateHistories = flag.Int("simulate.histories", 10000, "how many histories are played; 1: with a trace")
	simulateWrong     = flag.Int("simulate.wrong", 20, "after how many wrong histories a process plays no more")
	simulateWorker    = flag.Bool("simulate.worker", false, "this is a process that TestSimulate has started")
)

// Histories of runs in a simulated world keep the contract. Each is made by a seed, and one process
// for each processor plays a part of them.
func TestSimulate(t *testing.T) {
	seed, histories := *simulateSeed, *simulateHistories
	if seed == 0 {
		seed = 1 + rand.Uint64N(1e12)
	}
	if histories == 1 {
		replay(t, seed)
		return
	}
	t.Logf("histories %d to %d; make simulate SEED=n HISTORIES=1 plays one again", seed,
		seed+uint64(histories)-1)
	begin := time.Now()
	workers := min(runtime.NumCPU(), histories)
	tallies := make([]tally, workers)
	var all sync.WaitGroup
	for i := range workers {
		first, end := histories*i/workers, histories*(i+1)/workers
		all.Go(func() { tallies[i] = work(t, seed+uint64(first), end-first) })
	}
	all.Wait()
	sum := tally{Seen: map[string]int{}}
	for i := range tallies {
		sum.add(&tallies[i])
	}
	t.Logf("%d histories in %v, %d of them wrong\n%s", sum.Histories, time.Since(begin).Round(time.Millisecond),
		sum.Wrong, sum.table())
	if sum.Histories != histories {
		t.Errorf("%d of %d histories were played", sum.Histories, histories)
	}
}

// replays is how often a history is played again, if nothing is wrong with it: of two events at the
// same moment the runtime chooses one, which no seed decides.
const replays = 100

// replay plays one history with a trace.
func replay(t *testing.T, seed uint64) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	h := playHistory(t, seed, true)
	for n := 1; n < replays && len(h.faults) == 0; n++ {
		h = playHistory(t, seed, true)
	}
	t.Logf("history %d:\n%s", seed, strings.Join(h.lines, "\n"))
	if len(h.faults) > 0 {
		t.Errorf("history %d: %s", seed, strings.Join(h.faults, "\n\t"))
	}
}

// work has a process play histories. It returns what that has counted.
func work(t *testing.T, first uint64, histories int) (sum tally) {
	place, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Error(err)
		return sum
	}
	defer place.Close()
	cmd := exec.Command(os.Args[0], "-test.run=^TestSimulateWorker$", "-test.timeout=0", "-simulate.worker",
		"-simulate.seed", strconv.FormatUint(first, 10), "-simulate.histories", strconv.Itoa(histories),
		"-simulate.wrong", strconv.Itoa(*simulateWrong))
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	cmd.ExtraFiles = []*os.File{place}
	out, err := cmd.CombinedOutput()
	text := string(out)
	if before, line, ok := strings.Cut(text, tallyMark); ok {
		line, _, _ = strings.Cut(line, "\n")
		if jsonErr := json.Unmarshal([]byte(line), &sum); jsonErr != nil {
			t.Error(jsonErr)
		}
		text = before
	}
	if err != nil {
		var at [8]byte
		_, _ = place.ReadAt(at[:], 0)
		t.Errorf("%v, in history %d\n%s", err, binary.NativeEndian.Uint64(at[:]), text)
	}
	return sum
}

// tallyMark begins the line with what a worker has counted.
const tallyMark = "tally: "

// realLimit is how long a history may take in real time, which is 0.1 ms.
const realLimit = time.Minute

// collectEvery is after how many histories garbage is collected: during one, that would change the
// order in which goroutines run.
const collectEvery = 200

// The worker of TestSimulate writes the number of each history before it plays it: a history may
// end the process.
func TestSimulateWorker(t *testing.T) {
	if !*simulateWorker {
		return // TestSimulate starts it
	}
	place := os.NewFile(3, "place")
	debug.SetGCPercent(-1)
	sum := tally{Seen: map[string]int{}}
	seed := *simulateSeed
	tooLong := time.AfterFunc(realLimit, func() {
		fmt.Printf("history %d takes longer than %v\n%s\n", seed, realLimit, stacks())
		os.Exit(2)
	})
	for i := 0; i < *simulateHistories && sum.Wrong < *simulateWrong; i++ {
		seed = *simulateSeed + uint64(i)
		_, _ = place.WriteAt(binary.NativeEndian.AppendUint64(nil, seed), 0)
		tooLong.Reset(realLimit)
		h := playHistory(t, seed, false)
		sum.count(h)
		if len(h.faults) > 0 {
			fmt.Printf("history %d: %s\n", seed, strings.Join(h.faults, "\n\t"))
			t.Fail()
		}
		if i%collectEvery == 0 {
			runtime.GC()
		}
	}
	tooLong.Stop()
	b, err := json.Marshal(&sum)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(os.Stdout, "\n"+tallyMark+string(b)+"\n")
}

// stacks is what every goroutine does.
func stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}
