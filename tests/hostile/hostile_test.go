package hostile

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/hostile/plan"
	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

const (
	shortForm = 100 // rounds, where nobody says how many

	stall = 500 * time.Millisecond // without a processor, from which on a round that fails is played again
	plays = 4                      // times, at most
)

var (
	seedFlag   = flag.Uint64("hostile.seed", 0, "the `seed` of the first round; 0: a random one")
	roundsFlag = flag.Int(
		"hostile.rounds",
		shortForm,
		"how many `rounds`, the seeds of which follow one another",
	)
	durationFlag = flag.Duration("hostile.duration", 0, "how long rounds are begun, instead of how many")
	atOnceFlag   = flag.Int("hostile.parallel", 4, "how many rounds at a time")
	showFlag     = flag.Bool("hostile.show", false, "print every round and what was seen of it")
)

var attackerBin string // the path of what finite runs

func TestMain(m *testing.M) {
	roles := cage.Roles{
		"observer": func() { playObserver(cage.Order[order]()) },
		"stage":    func() { playStage(cage.Order[order]()) },
	}
	cage.Main(m, roles, func(dir string) error {
		attackerBin = filepath.Join(dir, "attacker")
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", attackerBin, "./attacker")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, text)
		}
		return nil
	})
}

func TestHostile(t *testing.T) {
	needRoot(t)
	first := *seedFlag
	for first == 0 {
		first = rand.Uint64() >> 16 // short enough to be typed
	}
	begin := time.Now()
	canaries := testkit.KeepCanaries(t)
	var sum summary
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range *atOnceFlag {
		wg.Go(func() {
			for seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { play(t, newRound(seed), &sum, canaries) })
			}
		})
	}
	next := first
	goesOn := func(rounds int) bool {
		if *durationFlag > 0 {
			return time.Since(begin) < *durationFlag
		}
		return rounds < *roundsFlag
	}
	for i := 0; goesOn(i); i++ {
		seeds <- next
		next++
	}
	close(seeds)
	wg.Wait()
	fmt.Printf("hostile: seeds %d to %d, in %v\n%v", first, next-1, time.Since(begin).Round(time.Second), &sum)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		testkit.Missing(t, "needs root to make namespaces and to become others")
	}
}

// play plays a round and checks it. One in which the machine stood still proves nothing, if it
// fails: it is played again.
func play(t *testing.T, r *round, sum *summary, canaries *testkit.Canaries) {
	for again := range plays {
		begin := time.Now()
		e := playOnce(t, r)
		if missed := canaries.Missed(begin); e.violation != nil && missed > stall && again < plays-1 {
			fmt.Printf("hostile: seed %d is played again, the machine stood still for %v: %.300s\n",
				r.Seed, missed.Round(time.Millisecond), e.violation)
			sum.repeat()
			continue
		}
		sum.add(e)
		if e.violation != nil {
			const again = "go test ./tests/hostile -run TestHostile -hostile.seed %d -hostile.rounds 1"
			repeat := fmt.Sprintf(again, r.Seed)
			// At once: the test may be stopped before its end.
			fmt.Printf("hostile: seed %d failed: %.3000s\n\tagain: %s\n", r.Seed, e.violation, repeat)
			t.Errorf("%v\nround: %v\nseen: %+v\nreport: %s\nstderr: %.4000s\nlog: %.4000s\nagain: %s",
				e.violation, r, e.seen, e.report, e.stderr, e.log, repeat)
		}
		return
	}
}

// evidence is everything that is known of a round after it.
type evidence struct {
	*round
	seen
	stderr    string
	log       []byte
	lines     []plan.Line
	report    []byte
	victim    string
	leaves    []string // cgroups of finite's
	violation error
}

const untouched = "untouched\n" // what is in the victim

// playOnce prepares the files of a round, plays it and reads what it has left.
func playOnce(t *testing.T, r *round) *evidence {
	t.Helper()
	u := userNamed(r.User)
	dir := openDir(t, u.uid)
	records := filepath.Join(dir, "records")
	o := order{
		Role:     r.Role,
		User:     r.User,
		Pinned:   r.Pinned,
		Patience: testkit.Stretched(margin + harassed + 5*time.Second),
	}
	o.Plan = plan.Plan{
		Seed: r.Seed, Command: r.Command, Leftover: r.Leftover, End: r.End, Exit: r.Exit,
		Protected: r.protected(), Perfmon: mounts(r), Freeze: r.limited(),
		Log: filepath.Join(dir, "log"), Records: records, Victim: filepath.Join(dir, "victim"), Finite: cage.Finite,
	}
	for path, text := range map[string]string{o.Plan.Log: "", o.Plan.Victim: untouched} {
		giveFile(t, path, text, u.uid)
	}
	o.Args = append(append([]string{cage.Finite}, r.options(records)...), "--", attackerBin)
	var place func(*exec.Cmd)
	if r.Cgroup {
		o.Plan.Cgroup = delegated(t, u.uid)
		place = testkit.Within(t, o.Plan.Cgroup)
	}
	e := &evidence{round: r}
	e.violation = e.run(t, o, place)
	e.read(o)
	if e.violation == nil {
		e.violation = e.check()
	}
	if *showFlag {
		fmt.Printf("%v\n%+v\n%s%s%s\n", r, e.seen, e.report, e.stderr, e.log)
	}
	return e
}

// delegated makes a cgroup that is a user's.
func delegated(t *testing.T, uid int) string {
	t.Helper()
	dir := testkit.Room(t)
	for _, file := range strings.Fields(". cgroup.procs cgroup.threads cgroup.subtree_control cgroup.freeze cgroup.kill") {
		if err := os.Chown(filepath.Join(dir, file), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openDir is a directory of a user's, and one for what options name in it.
func openDir(t *testing.T, uid int) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	for _, d := range []string{dir, filepath.Join(dir, "records")} {
		_ = os.Mkdir(d, 0o755)
		if err := os.Chown(d, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func giveFile(t *testing.T, path, text string, uid int) {
	t.Helper()
	err := os.WriteFile(path, []byte(text), 0o644)
	if err == nil {
		err = os.Chown(path, uid, uid)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// read reads what a round has left. Its directory may have been moved.
func (e *evidence) read(o order) {
	e.log, _ = os.ReadFile(o.Plan.Log)
	for text := range bytes.Lines(e.log) {
		var l plan.Line
		if json.Unmarshal(text, &l) == nil {
			e.lines = append(e.lines, l)
		}
	}
	for _, dir := range []string{o.Plan.Records, o.Plan.Records + ".away"} {
		path := filepath.Join(dir, "report")
		if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() {
			e.report, _ = os.ReadFile(path)
		}
		if string(e.report) == untouched {
			e.report = nil // it is the victim, by another name
		}
	}
	text, _ := os.ReadFile(o.Plan.Victim)
	e.victim = string(text)
	if o.Plan.Cgroup != "" {
		e.leaves, _ = filepath.Glob(filepath.Join(o.Plan.Cgroup, "finite-*"))
	}
}
