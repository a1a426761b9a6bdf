package chaos

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

const (
	shortForm = 40 // rounds, where nobody says how many

	// Processes and threads of a round that is to have enough of them. Whatever goes wrong, the
	// machine is not filled.
	mostPids = 2000

	margin = 2000                   // milliseconds that finite may take over what is due
	stall  = 500 * time.Millisecond // without a processor, from which on a round that fails is played again
	plays  = 4                      // times, at most
)

var (
	seedFlag   = flag.Uint64("chaos.seed", 0, "the `seed` of the first round; 0: a random one")
	roundsFlag = flag.Int("chaos.rounds", shortForm, "how many `rounds`, the seeds of which follow one another")
	atOnceFlag = flag.Int("chaos.parallel", 4, "how many rounds at a time")
	showFlag   = flag.Bool("chaos.show", false, "print every round and what was seen of it")
)

// slack is how many milliseconds more finite may take on a machine that is busy with other things.
// How many of them were needed is said at the end.
func slack() int { return int(testkit.Stretched(10 * time.Second).Milliseconds()) }

var playerBin string // the path of what finite runs

func TestMain(m *testing.M) {
	roles := cage.Roles{
		"observer": func() { playObserver(cage.Order[order]()) },
		"stage":    func() { playStage(cage.Order[order]()) },
	}
	cage.Main(m, roles, func(dir string) error {
		playerBin = filepath.Join(dir, "player")
		return nil
	})
}

// report is what is read of finite's report.
type report struct {
	State      string `json:"state"`
	ExitStatus *int   `json:"exit_status"`
	GaveUp     bool   `json:"gave_up"`
	Cause      struct {
		Kind string `json:"kind"`
	} `json:"cause"`
	Reaped struct {
		Orphans    int `json:"orphans"`
		Terminated int `json:"leftovers_terminated"`
		Killed     int `json:"leftovers_killed"`
	} `json:"reaped"`
	Signals struct {
		Forwarded   int `json:"forwarded"`
		Undelivered int `json:"undelivered"`
	} `json:"signals"`
	Survivors []struct {
		PID   int    `json:"pid"`
		State string `json:"state"`
		Why   string `json:"why"`
	} `json:"survivors"`
	OOMKills int      `json:"oom_kills"`
	Without  []string `json:"without"`
}

// needAll sees to what every round needs.
func needAll(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		testkit.Missing(t, "needs root to make namespaces, limits and file systems")
	}
	if out, err := exec.Command("gcc", "-O2", "-static", "-pthread", "-o", playerBin,
		"testdata/player.c").CombinedOutput(); err != nil {
		testkit.Missing(t, "gcc: %v\n%s", err, out)
	}
}

// Rounds that showed a mistake once, which has been corrected, are played as they were, whatever
// their seeds stand for by now.
func TestRoundsThatFailedOnce(t *testing.T) {
	needAll(t)
	text, err := os.ReadFile("testdata/failed.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	c := testkit.KeepCanaries(t)
	for line := range strings.Lines(string(text)) {
		var r round
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprintf("%s/%d", r.Kind, r.Seed), func(t *testing.T) {
			t.Parallel()
			play(t, &r, &summary{}, c)
		})
	}
}

func TestChaos(t *testing.T) {
	needAll(t)
	first := *seedFlag
	for first == 0 {
		first = rand.Uint64() >> 16 // short enough to be typed
	}
	fmt.Printf("chaos: %d rounds, seeds %d to %d\n", *roundsFlag, first, first+uint64(*roundsFlag)-1)
	begin := time.Now()
	seeds := make(chan uint64)
	c := testkit.KeepCanaries(t)
	var sum summary
	var wg sync.WaitGroup
	for range *atOnceFlag {
		wg.Go(func() {
			for seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { play(t, newRound(seed), &sum, c) })
			}
		})
	}
	for i := range *roundsFlag {
		seeds <- first + uint64(i)
	}
	close(seeds)
	wg.Wait()
	fmt.Printf("chaos: %v in %v\n", &sum, time.Since(begin).Round(time.Second))
}

// evidence is everything that is known of a round after it.
type evidence struct {
	*round
	seen
	stdout, stderr string
	report         *report // nil: there is none
	reportText     []byte
	oomKills       int // the kernel's count
	violation      error
}

// play plays a round and checks it. One in which the machine stood still proves nothing, if it
// fails: it is played again.
func play(t *testing.T, r *round, sum *summary, c *testkit.Canaries) {
	for again := range plays {
		begin := time.Now()
		e := playOnce(t, r)
		if missed := c.Missed(begin); e.violation != nil && missed > stall && again < plays-1 {
			fmt.Printf("chaos: seed %d is played again, the machine stood still for %v: %.300s\n",
				r.Seed, missed.Round(time.Millisecond), e.violation)
			sum.repeat()
			continue
		}
		sum.add(e)
		if e.violation != nil {
			// It is said at once, because the test may be stopped before its end.
			fmt.Printf("chaos: seed %d failed: %.4000s\n", r.Seed, e.violation)
			t.Errorf("%v\nround: %v\nseen: %+v\nreport: %s\nstdout: %.2000s\n"+
				"stderr: %.4000s\nagain: go test ./tests/chaos -chaos.seed %d -chaos.rounds 1",
				e.violation, r, e.seen, e.reportText, e.stdout, e.stderr, r.Seed)
		}
		return
	}
}

func playOnce(t *testing.T, r *round) *evidence {
	o := order{
		Round: r, Finite: cage.Finite, Player: playerBin, Dir: t.TempDir(),
		Patience: testkit.Stretched(5 * time.Second),
	}
	if err := makeCounters(o.file("counters")); err != nil {
		t.Fatal(err)
	}
	place := testkit.Room(t)
	o.Cgroups = limits(t, r)
	e := &evidence{round: r}
	if e.violation = e.run(t, o, place); e.violation == nil {
		e.readReport(o)
		e.oomKills = oomKills(o.Cgroups)
		e.violation = e.check(append(o.Cgroups, place))
	}
	if *showFlag {
		fmt.Printf("%v\n%+v\n%s%s\n", r, e.seen, e.reportText, e.stderr)
	}
	return e
}

// limits makes the cgroups that finite is moved into.
func limits(t *testing.T, r *round) []string {
	dirs := []string{testkit.Limited(t, "pids", "pids.max", "pids.max", fmt.Sprint(cmp.Or(r.Pids, mostPids)))}
	if r.Memory == 0 {
		return dirs
	}
	// One cgroup has both limits where there is one hierarchy for them.
	memory := fmt.Sprint(r.Memory)
	if os.WriteFile(filepath.Join(dirs[0], "memory.max"), []byte(memory), 0) == nil {
		return dirs
	}
	return append(dirs, testkit.Limited(t, "memory", "memory.limit_in_bytes", "memory.max", memory))
}

// oomKills reads how many the kernel has counted, in v1 or v2.
func oomKills(cgroups []string) (n int) {
	for _, dir := range cgroups {
		for _, file := range []string{"memory.oom_control", "memory.events"} {
			text, _ := os.ReadFile(filepath.Join(dir, file))
			for line := range strings.Lines(string(text)) {
				var count int
				if _, err := fmt.Sscanf(line, "oom_kill %d", &count); err == nil {
					n += count
				}
			}
		}
	}
	return n
}

// run runs the cage of a round.
func (e *evidence) run(t *testing.T, o order, place string) error {
	var stdout, stderr bytes.Buffer
	c := cage.Start(t, "observer", o, func(cmd *exec.Cmd) {
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		switch e.Stderr {
		case "full":
			cmd.Stderr = testkit.FullPipe(t)
		case "broken":
			cmd.Stderr = testkit.BrokenPipe(t)
		}
		testkit.Within(t, place)(cmd)
	})
	limit := long + e.Grace + e.GiveUp + margin + 2*slack() + 10000
	err := c.End(&e.seen, time.Duration(limit)*time.Millisecond)
	e.stdout, e.stderr = stdout.String(), stderr.String()
	return err
}

func (e *evidence) readReport(o order) {
	var err error
	if e.reportText, err = os.ReadFile(o.file("report")); err != nil {
		return
	}
	var r report
	if json.Unmarshal(e.reportText, &r) == nil {
		e.report = &r
	}
}

// violations are what is wrong.
type violations []string

func (v *violations) add(format string, args ...any) { *v = append(*v, fmt.Sprintf(format, args...)) }

// check holds what was seen against the contract.
func (e *evidence) check(cgroups []string) error {
	var v violations
	if e.Status == -9 && e.Memory > 0 && e.oomKills > 0 {
		return nil // the kernel, in want of memory, took finite itself
	}
	if late := e.late(); late > margin+slack() {
		v.add("ended %d ms after it was due", late)
	}
	e.checkStatus(&v)
	e.checkLeft(&v, cgroups)
	e.checkReport(&v)
	for _, word := range []string{
		"goroutine ", "runtime:", "fatal error", "panic:", "SIGABRT: ", "internal error", "cage:",
	} {
		if strings.Contains(e.stderr, word) {
			v.add("%q is on stderr", word)
		}
	}
	if len(v) > 0 {
		return fmt.Errorf("violation: %s", strings.Join(v, "; "))
	}
	return nil
}

// late is how many milliseconds after it was due finite had ended.
func (e *evidence) late() int { return e.Ended - e.due(e.Ready) }

// checkStatus: the status is the one that the round asks for. A command that was not yet there when
// its deadline came ends by that, whatever else would have ended it; so does one that a slow
// machine gave no time.
func (e *evidence) checkStatus(v *violations) {
	want := e.Want
	if e.Timeout < long && (e.Ready == 0 || e.Ready+500 > e.Timeout) && e.Ended >= e.Timeout {
		want = append(slices.Clip(want), 124)
	}
	if e.Memory > 0 && e.oomKills > 0 && (e.Stderr != "pipe" || strings.Contains(e.stderr, "the keeper was killed")) {
		want = append(slices.Clip(want), 125) // by the kernel, in want of memory
	}
	if !slices.Contains(want, e.Status) {
		v.add("status %d, want %d", e.Status, want)
	}
	if e.Status == 124 && e.Kind != "exit" && e.Ended < e.Timeout {
		v.add("status 124 after %d ms, the deadline is %d ms", e.Ended, e.Timeout)
	}
}

// checkLeft: nobody is left, but those who cannot be killed, and they are named.
func (e *evidence) checkLeft(v *violations, cgroups []string) {
	stuck := e.has("D0(")
	for _, p := range e.Left {
		switch {
		// The kernel ends the others, which takes a moment. They are among the ghosts, if ever.
		case e.Kind == "finite is killed":
		case !stuck && e.blind(): // it says so, see checkReport
		case !stuck:
			v.add("left: %+v", p)
		case p.State == "D" && e.isStuck(p):
			if e.report != nil && !e.names(p) && !slices.Contains(e.report.Without, "proc") {
				v.add("a survivor is not named: %+v", p)
			}
		case e.Gone == -1:
			v.add("left besides the stuck one: %+v", p)
		}
	}
	if len(e.Ghosts) > 0 && !e.blind() {
		v.add("never gone: %+v", e.Ghosts)
	}
	var leaves []string
	for _, dir := range cgroups {
		found, _ := filepath.Glob(filepath.Join(dir, "finite-*"))
		leaves = append(leaves, found...)
	}
	if len(leaves) > 0 && !stuck && e.Kind != "finite is killed" && !e.blind() {
		v.add("cgroups are left: %v", leaves)
	}
}

func (e *evidence) isStuck(p testkit.Process) bool {
	return slices.Contains(e.Counts.StuckPID[:], uint32(p.Inner))
}

// names reports whether the report names a survivor: by the number that whoever wrote it knows it
// under.
func (e *evidence) names(p testkit.Process) bool {
	for _, s := range e.report.Survivors {
		if s.PID == p.PID || s.PID == p.Inner {
			return true
		}
	}
	return false
}

// lostSupervisors reports whether the kernel may have ended every supervisor for want of memory: the
// keeper then ends the tree by heart, and nobody ends the report.
func (e *evidence) lostSupervisors() bool {
	return e.Memory > 0 && (e.Stderr != "pipe" || strings.Contains(e.stderr, "the supervisor cannot run") ||
		strings.Contains(e.stderr, "the keeper was killed"))
}

// checkReport: the report says what others have seen.
func (e *evidence) checkReport(v *violations) {
	r := e.report
	if r == nil {
		if e.Report && e.Status >= 0 && e.Kind != "early" {
			v.add("there is no report, or it cannot be read: %q", e.reportText)
		}
		return
	}
	if e.Status < 0 {
		return // it was killed, and this is the last that it wrote
	}
	if r.State != "ended" && e.lostSupervisors() {
		return
	}
	if r.State != "ended" || r.ExitStatus == nil || *r.ExitStatus != e.Status {
		v.add("the report is not that of this end")
		return
	}
	stuck := e.has("D0(") && e.Counts.Stuck > 0
	if r.GaveUp && !stuck && !e.blind() {
		v.add("gave up, and nobody was stuck")
	}
	if len(e.Left) > 0 && e.blind() && !slices.Contains(r.Without, "proc") {
		v.add("it does not say that it could not see %+v", e.Left)
	}
	if !e.NoProc && slices.Contains(r.Without, "proc") {
		v.add("it did without a /proc that is there")
	}
	if !r.GaveUp && slices.ContainsFunc(e.Left, func(p testkit.Process) bool { return p.State == "D" }) {
		v.add("it does not say that it gave up")
	}
	if (r.Cause.Kind == "deadline") != (e.Status == 124) && e.Kind != "exit" {
		v.add("cause %s, status %d", r.Cause.Kind, e.Status)
	}
	e.checkCounts(v, r)
}

// checkCounts: what finite has counted is what the tree has counted of itself, and the kernel, and
// the observer.
func (e *evidence) checkCounts(v *violations, r *report) {
	low, high := e.Counts.orphans()
	if r.GaveUp || e.has("D0(") || e.blind() {
		low = 0 // who is left is not reaped
	}
	if got := r.Reaped.Orphans; got < low || got > high {
		v.add("%d orphans were reaped, %d to %d were there", got, low, high)
	}
	if r.Reaped.Terminated+r.Reaped.Killed > r.Reaped.Orphans {
		v.add("of %d orphans, %d and %d were left", r.Reaped.Orphans, r.Reaped.Terminated, r.Reaped.Killed)
	}
	sent, told := e.Sent, r.Signals.Forwarded+r.Signals.Undelivered
	if e.Role == asNamespace {
		sent += 2 // the outer one's SIGCONT, with a stop signal and at the deadline
	}
	if told > sent {
		v.add("%d signals were sent, %d are reported", sent, told)
	}
	if got := int(e.Counts.Got); got > r.Signals.Forwarded {
		v.add("%d signals were forwarded, the command got %d", r.Signals.Forwarded, got)
	}
	if r.OOMKills > e.oomKills {
		v.add("%d OOM kills are reported, the kernel has counted %d", r.OOMKills, e.oomKills)
	}
}

// summary is what is said of all rounds.
type summary struct {
	mu                       sync.Mutex
	rounds, exact, counted   int
	over, worst              int
	repeated                 int
	kinds, roles             map[string]int
	survivors, oom, orphaned int
}

func (s *summary) repeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.repeated++
}

func (s *summary) add(e *evidence) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds, s.roles = map[string]int{}, map[string]int{}
	}
	s.rounds++
	s.kinds[e.Kind]++
	s.roles[e.Role]++
	if late := e.late(); late > margin {
		s.over++
		s.worst = max(s.worst, late-margin)
	}
	if e.report == nil || e.report.State != "ended" {
		return
	}
	s.orphaned += e.report.Reaped.Orphans
	if e.report.OOMKills > 0 {
		s.oom++
	}
	if len(e.report.Survivors) > 0 {
		s.survivors++
		return
	}
	s.counted++
	if low, high := e.Counts.orphans(); low == high {
		s.exact++
	}
}

func (s *summary) String() string {
	return fmt.Sprintf("%d rounds by kind %v, by role %v; orphans were counted in %d (%d of them exactly, "+
		"%d orphans), survivors named in %d, OOM kills seen in %d; "+
		"%d ended more than %d ms after they were due, by %d ms more at most; "+
		"%d were repeated because the machine stood still",
		s.rounds, s.kinds, s.roles, s.counted, s.exact, s.orphaned, s.survivors,
		s.oom, s.over, margin, s.worst, s.repeated)
}
