package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/signals"
	"github.com/finite-init/finite/tests/internal/cage"
)

const (
	stormRuns = 500 // in each of two roles
	seedEnv   = "STORM_SEED"
)

// No event is lost that is queued when the end comes. 1,000 runs under load with random orphans,
// exits and storms of signals: every orphan is counted, nothing hangs, no zombie is left. A test
// binary with the race detector has it watch all of this.
func TestStorm(t *testing.T) {
	for range 2 { // both processors are busy
		load := exec.Command("sh", "-c", "while :; do :; done")
		load.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := startLocked(load); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = load.Process.Kill(); _ = load.Wait() })
	}
	seed := rand.Uint64()
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%s=%d", seedEnv, seed)
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		c := startSpec(t, cageSpec{Mode: m, Args: []string{cage.Self}, Role: "storm"}, func(cmd *exec.Cmd) {
			cmd.Env = append(cmd.Env, seedEnv+"="+strconv.FormatUint(seed, 10))
		})
		r := c.waitLong(5 * patience())
		r.want(t, 0)
		if want := fmt.Sprintf("%d runs\n", stormRuns); r.stdout != want {
			t.Errorf("stdout %q, want %q\nstderr: %s", r.stdout, want, r.stderr)
		}
		if strings.Contains(r.stderr, "DATA RACE") {
			t.Error(r.stderr)
		}
	})
}

// playStorm runs many commands, one after the other, while signals arrive, and says what is wrong
// with any of them.
func playStorm() {
	seed, _ := strconv.ParseUint(os.Getenv(seedEnv), 10, 64)
	rnd := rand.New(rand.NewPCG(seed, 8))
	source := signals.Listen()
	source.Late()
	go func() {
		harmless := []unix.Signal{unix.SIGWINCH, unix.SIGCONT}
		for i := 0; ; i++ {
			_ = unix.Kill(os.Getpid(), harmless[i%len(harmless)])
			time.Sleep(50 * time.Microsecond)
		}
	}()
	for i := range stormRuns {
		if problem := stormRun(rnd, source); problem != "" {
			fmt.Fprintf(os.Stderr, "run %d: %s\n", i, problem)
			os.Exit(1)
		}
	}
	fmt.Printf("%d runs\n", stormRuns)
	os.Exit(0)
}

func stormRun(rnd *rand.Rand, source *signals.Source) string {
	orphans, left, code := rnd.IntN(6), rnd.IntN(3), rnd.IntN(256)
	script := strings.Repeat("(:&);", orphans) + strings.Repeat("sleep 1000 & ", left) +
		"exit " + strconv.Itoa(code)
	cfg := pid1.Config{Args: []string{"sh", "-c", script}, Source: source}
	cfg.Leftovers = []ending.Leftovers{ending.LeftoversTerminate, ending.LeftoversKill}[rnd.IntN(2)]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := rnd.IntN(4) == 0
	if stopped { // some are asked to stop, at any moment
		cfg.StopGrace = time.Minute
		timer := time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, func() {
			_ = unix.Kill(os.Getpid(), unix.SIGTERM)
		})
		defer timer.Stop()
	}
	r, err := pid1.Run(ctx, cfg)
	fine := r.ExitStatus == code && r.Counts.Orphans == orphans+left
	if stopped || r.Cause.Kind == ending.KindStopRequested { // a late TERM may meet the next run
		fine = r.ExitStatus == code || r.ExitStatus == 143
	}
	if !fine || err != nil || r.GaveUp || r.Counts.Unexpected > 0 {
		return fmt.Sprintf("%q ended as %+v, %v", script, r, err)
	}
	if err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil); err != unix.ECHILD {
		return fmt.Sprintf("%q: waitid says %v, want ECHILD", script, err)
	}
	return ""
}
