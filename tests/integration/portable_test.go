package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

// buildPortable builds finite without the entry point.
func buildPortable(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "finite")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for d := filepath.Dir(path); d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	return path
}

// shared are the tests of what both builds promise: that with a keeper, and that of one process.
const shared = `
TestAnotherUsersProcess TestCgroupManyAtOnce TestCgroupOfAHostileCommand TestCgroupOfWhatIsLeft
TestDeadlineInAnEmptyRoot TestDeadlineInLittleMemory TestDeadlineThatCannotBeTold
TestDeadlineWithoutOrphans TestDeepTreeIsGone TestEnvironmentIsConsumed TestEscalate
TestEscalateRequestedStop TestEscapeesAreGone TestEventsNobodyReads TestEventsTrace TestExitStatus
TestFastForkersAreGone TestFastForkersThatWereLeft TestFatalSignals TestForwardTargets
TestFrozenByAnother TestFrozenItself TestLeftoversGetTheirGrace TestLeftoversPolicies TestLifeline
TestLifelineOfTheParent TestLogFormats TestLogIsPrintable TestManyEscapees TestNoArgument
TestParentDeath TestPause TestPauseReapsLateOrphans TestRefusedSystemCalls TestReportErrors
TestReportOfADeadline TestReportOfAHostileCommand TestReportOnAPipe TestReportStartFailed
TestRewriteAndDrop TestStoppedChildEndsInTime TestTracerHoldsTheZombie TestMovedAwayByNsenter
TestWithoutPidfd TestSignalsToEverybody TestSnapshot TestStartFailures TestStateFile TestStopDelay
TestStopGraceAndExpect TestStopWithoutOrphans TestStrangerInTheCgroup TestTimeline
TestTracerOutOfReach TestUsageErrorThatNobodyReads TestWrongUses`

// The build without the entry point passes the tests of what it promises as the other one does.
func TestSharedWithOneProcess(t *testing.T) {
	names := strings.Fields(shared)
	cmd := exec.Command(cage.Self,
		"-test.v", "-test.count=1", "-test.parallel=4", "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Env = append(os.Environ(), "FINITE_BIN="+buildPortable(t))
	out, err := cmd.CombinedOutput()
	for _, name := range names {
		if !strings.Contains(string(out), "--- PASS: "+name+" ") {
			t.Errorf("%s did not pass", name)
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A build without the entry point, as go install makes it, works through os/signal: it says so, and
// what it can catch it forwards.
func TestWithoutTheEntryPoint(t *testing.T) {
	needCommand(t, "perl")
	portable := buildPortable(t)
	out, err := exec.Command(portable, "--version", "-v").Output()
	if err != nil || !strings.Contains(string(out), "signals: os/signal\n") {
		t.Errorf("%q, %v", out, err)
	}
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := startSpec(t, cageSpec{
			Mode: m, Args: []string{portable, "-vv", "--", "perl", "-MConfig", "-e", recorder},
		}, nil)
		c.stdout.await(t, "ready")
		c.stderr.await(t, "all signals are caught")
		for sig := unix.Signal(1); sig <= 64; sig++ {
			switch sig {
			case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGALRM: // the last ends the recorder
			case unix.SIGURG, unix.SIGPROF, 32, 33, 34: // the Go runtime's, and the C library's
			default:
				c.signal(sig)
				c.stdout.await(t, "got "+strconv.Itoa(int(sig))+"\n")
			}
		}
		c.signal(unix.SIGALRM)
		c.wait().want(t, 42)

		for status, args := range map[int][]string{
			7: {"sh", "-c", "exit 7"}, 143: {"sh", "-c", "kill -TERM $$"},
			127: {"/no/such/command"}, 126: {"/etc/passwd"},
		} {
			startSpec(t, cageSpec{Mode: m, Args: append([]string{portable, "--"}, args...)},
				nil).wait().want(t, status)
		}
		startSpec(t, cageSpec{Mode: m, Args: []string{
			portable, "-t", stretch("200ms"), "-k", stretch("100ms"), "--",
			"sh", "-c", `trap "" TERM; setsid sleep 1000 & sleep 1000`,
		}}, nil).wait().want(t, 124)
	})
}
