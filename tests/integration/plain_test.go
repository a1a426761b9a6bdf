package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Every signal and 200 queued values reach the command of a plain run, as another user's too, and
// where they are sent to the thread.
func TestPlainRunPassesSignals(t *testing.T) {
	// 32 and 33 are the C library's in the recorder.
	sent := signalsExcept(unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, 32, 33)
	const count = 200
	for name, send := range map[string]struct {
		code int
		one  func(c *caged, pid int, sig unix.Signal) error
	}{
		"kill":   {0, func(_ *caged, pid int, sig unix.Signal) error { return unix.Kill(pid, sig) }},
		"tgkill": {-6, func(_ *caged, pid int, sig unix.Signal) error { return unix.Tgkill(pid, pid, sig) }},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				c := start(t, m, "--", recorderBin(t), strconv.Itoa(len(sent)))
				c.stdout.await(t, "ready")
				pid := c.pid()
				for _, sig := range sent {
					if err := send.one(c, pid, sig); err != nil {
						t.Fatal(err)
					}
					c.stdout.await(t, fmt.Sprintf("got %d code ", int(sig)))
				}
				r := c.wait()
				r.want(t, 42)
				if got := strings.Count(r.stdout, "got "); got != 59 {
					t.Errorf("%d signals arrived, want 59", got)
				}
			})
		})
	}
	t.Run("values", func(t *testing.T) {
		forModes(t, allModes, func(t *testing.T, m mode) {
			for _, sig := range []unix.Signal{34, 64} {
				c := start(t, m, "--", recorderBin(t), strconv.Itoa(count))
				c.stdout.await(t, "ready")
				for value := range count {
					c.enqueue(sig, value)
				}
				r := c.wait()
				r.want(t, 42)
				next := 0
				for line := range strings.Lines(r.stdout) {
					var number, code, pid, uid, value int
					if n, _ := fmt.Sscanf(line, "got %d code %d pid %d uid %d value %d",
						&number, &code, &pid, &uid, &value); n != 5 {
						continue
					}
					if number != int(sig) || code != -1 || value != next {
						t.Fatalf("line %d: %q", next, line)
					}
					next++
				}
				if next != count {
					t.Errorf("%d of %d arrived", next, count)
				}
			}
		})
	})
}

// A signal at a random moment of the first 3 ms, for each that asks for an end: where finite has
// blocked it, it is never lost, and the status is 128+n; before that the kernel has its way.
func TestEarlySignals(t *testing.T) {
	needRoot(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	const runs = 200
	for _, m := range []mode{asInit, asSubreaper} {
		t.Run(string(m), func(t *testing.T) {
			blocked := 0
			for i := range runs {
				sig := []unix.Signal{unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP, unix.SIGINT}[i%4]
				at := time.Duration(rnd.Int64N(int64(3 * time.Millisecond)))
				status, wasBlocked, said := signalEarly(t, m, sig, at)
				if wasBlocked {
					blocked++
				}
				switch {
				case status == 128+int(sig):
				case status == -int(sig) && m != asInit && !wasBlocked:
				// PID 1 is sent nothing that it does not handle.
				case status == 128+int(unix.SIGVTALRM) && m == asInit && !wasBlocked:
				default:
					t.Errorf("run %d: signal %d after %v (blocked: %v): status %d, %s", i, sig, at, wasBlocked, status, said)
				}
			}
			if blocked == 0 {
				t.Error("no signal came when finite had blocked it")
			}
			t.Logf("%d of %d came when finite had blocked them", blocked, runs)
		})
	}
}

// signalEarly starts finite, sends it a signal at a moment after its start, and returns its status
// and whether it had blocked the signal by then. If the signal was lost, another one ends the
// command.
func signalEarly(
	t *testing.T, m mode, sig unix.Signal, at time.Duration,
) (status int, blocked bool, said string) {
	t.Helper()
	stderr := newLines()
	cmd := exec.Command(finiteBin, "--", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if m == asInit {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	cmd.Stderr = stderr
	if err := startLocked(cmd); err != nil {
		missing(t, "cannot make a process: %v", err)
	}
	begin := time.Now()
	for time.Since(begin) < at { // a random moment, not synchronisation
		runtime.Gosched()
	}
	blocked = blocks(cmd.Process.Pid, sig)
	_ = cmd.Process.Signal(sig)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	for {
		select {
		case <-done:
			return exitCode(t, &exec.ExitError{ProcessState: cmd.ProcessState}), blocked, stderr.String()
		case <-time.After(20 * time.Millisecond):
			_ = cmd.Process.Signal(unix.SIGVTALRM)
		}
		if time.Since(begin) > patience() {
			_ = cmd.Process.Kill()
			t.Fatal("it did not end")
		}
	}
}

// blocks reports whether a process is finite and has blocked a signal.
func blocks(pid int, sig unix.Signal) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, mask, found := strings.Cut(string(text), "\nSigBlk:\t")
	if !found || !strings.HasPrefix(string(text), "Name:\tfinite\n") {
		return false
	}
	bits, _ := strconv.ParseUint(mask[:16], 16, 64)
	return bits>>(sig-1)&1 != 0
}

// Processes that send finite real-time signals without pause keep neither the deadline away nor the
// end of what the command leaves.
func TestFloodOfSignals(t *testing.T) {
	needCommand(t, "perl")
	const flood = `trap "" RTMIN RTMIN+6 RTMAX USR1; front=1
[ $PPID = 1 ] || read -r _ _ _ front _ </proc/$PPID/stat
for sig in 34 40; do perl -e 'print "ready\n"; close STDOUT; $SIG{TERM} = "IGNORE";
while (1) { kill $ARGV[0], $ARGV[1]; kill "USR1", $ARGV[1];
kill $ARGV[0], $ARGV[2] }' $sig $front $PPID & done
`
	for name, tt := range map[string]struct {
		options []string
		end     string
		status  int
	}{
		"deadline":  {[]string{"-t", "2s", "-k", "200ms"}, "while :; do sleep 1000; done", 124},
		"leftovers": {[]string{"-k", "500ms"}, "sleep 1; exit 3", 3},
		"at once":   {[]string{"-k", "0"}, "sleep 1; exit 3", 3},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				args := append(append([]string{finiteBin}, tt.options...),
					"--", needCommand(t, "bash"), "-c", flood+tt.end)
				c := startSpec(t, cageSpec{Mode: m, Args: args}, nil)
				r := c.wait()
				if r.want(t, tt.status); strings.Count(r.stdout, "ready\n") != 2 {
					t.Errorf("stdout %q", r.stdout)
				}
			})
		})
	}
}
