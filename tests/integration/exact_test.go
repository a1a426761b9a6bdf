package integration

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slackOfThreads looks at the timer slack of its parent's threads, until it is as it should be.
//
//go:embed testdata/slack.sh
var slackOfThreads string

// slackForeign looks at the timer slack of all threads of the process outside, until it is its own.
//
//go:embed testdata/slack-foreign.sh
var slackForeign string

// recorderBin builds the command of these tests, which says exactly what arrives.
var recorderBin = func() func(*testing.T) string {
	var once sync.Once
	var path, problem string
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			path = filepath.Join(filepath.Dir(finiteBin), "recorder")
			if out, err := exec.Command("gcc", "-O2", "-static", "-o", path,
				"testdata/recorder.c").CombinedOutput(); err != nil {
				problem = fmt.Sprintf("gcc: %v\n%s", err, out)
			}
		})
		if problem != "" {
			missing(t, "%s", problem)
		}
		return path
	}
}()

// enqueue sends a signal with a value (sigqueue(3)).
func (c *caged) enqueue(sig unix.Signal, value int) {
	c.t.Helper()
	const queue = -1 // SI_QUEUE
	c.queueInfo(sig, queue, os.Getpid(), value)
}

// queueInfo sends a signal with a si_code, a sender's PID and a value (rt_sigqueueinfo(2)).
func (c *caged) queueInfo(sig unix.Signal, code int32, pid, value int) {
	c.t.Helper()
	var info [128]byte
	n := binary.NativeEndian
	n.PutUint32(info[0:], uint32(sig))
	n.PutUint32(info[8:], uint32(code))
	n.PutUint32(info[16:], uint32(pid))
	n.PutUint64(info[24:], uint64(value))
	if _, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(c.pid()),
		uintptr(sig), uintptr(unsafe.Pointer(&info))); errno != 0 {
		c.t.Fatalf("rt_sigqueueinfo: %v", errno)
	}
}

// settled waits until no thread of the Go runtime's takes SIGRTMIN any more. A moment after the
// start that is so; until then the runtime, which unblocks this one on each of its threads, may
// have two of them handle two signals at the same time.
func (c *caged) settled() {
	c.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience(); time.Sleep(time.Millisecond) {
		open := 0
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.pid()))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			_, mask, _ := strings.Cut(string(text), "SigBlk:\t")
			bits, err := strconv.ParseUint(mask[:min(16, len(mask))], 16, 64)
			if err != nil || bits&(1<<33) == 0 {
				open++
			}
		}
		if open == 1 || open == 0 && len(files) == 1 { // the latter reads a signalfd
			return
		}
	}
	c.t.Fatal("more than one thread takes SIGRTMIN")
}

// needExact skips a test of what only the exact source can do.
func needExact(t *testing.T) {
	t.Helper()
	if out, err := exec.Command(finiteBin, "--version", "-v").Output(); err != nil ||
		!strings.Contains(string(out), "signals: signalfd") {
		missing(t, "the binary was built without -E: %v\n%s", err, out)
	}
}

// Every signal that can be caught arrives, one by one, as it was sent; the faults and the runtime's
// own among them.
func TestEverySignalArrives(t *testing.T) {
	needExact(t)
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		var sent []unix.Signal
		for sig := unix.Signal(1); sig <= 64; sig++ {
			switch sig {
			case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, 32, 33: // the last two are the C library's in the recorder
			default:
				sent = append(sent, sig)
			}
		}
		c := start(t, m, "--", recorderBin(t), strconv.Itoa(len(sent)))
		c.stdout.await(t, "ready")
		for _, sig := range sent {
			c.signal(sig)
			c.stdout.await(t, fmt.Sprintf("got %d code 0 ", int(sig))) // SI_USER
		}
		r := c.wait()
		r.want(t, 42)
		if got := strings.Count(r.stdout, "got "); got != 59 || len(sent) != 59 {
			t.Errorf("%d of %d signals arrived, want 59", got, len(sent))
		}
	})
}

// Queued values of one real-time signal arrive in order, whether finite passes them on the moment
// they come or is held up by something.
func TestQueuedValuesArriveInOrder(t *testing.T) {
	needExact(t)
	const count = 200
	for name, options := range map[string][]string{
		"plain": nil, "logged": {"-v"}, "group": {"--group"}, "rewritten": {"--rewrite", "RTMIN:RTMIN+3"},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
				for _, sig := range []unix.Signal{34, 40} {
					c := start(t, m, append(options, "--", recorderBin(t), strconv.Itoa(count))...)
					c.stdout.await(t, "ready")
					c.settled()
					for value := range count {
						c.enqueue(sig, value)
					}
					r := c.wait()
					r.want(t, 42)
					arrives := sig
					if name == "rewritten" && sig == 34 {
						arrives = 37
					}
					next := 0
					for line := range strings.Lines(r.stdout) {
						var number, code, pid, uid, value int
						if n, _ := fmt.Sscanf(line, "got %d code %d pid %d uid %d value %d",
							&number, &code, &pid, &uid, &value); n != 5 {
							continue
						}
						if number != int(arrives) || code != -1 || value != next {
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
}

// Signals that are there before finite's first instruction reach the command.
func TestSignalsWaitForTheCommand(t *testing.T) {
	needExact(t)
	forModes(t, allModes, func(t *testing.T, m mode) {
		// Whoever becomes finite sends them to itself while they are blocked.
		script := `use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(10, 12, 28, 40)); ` +
			`kill $_, $$ for 10, 12, 28, 40; exec @ARGV`
		r := startSpec(t, cageSpec{Mode: m, Args: []string{
			needCommand(t, "perl"), "-e", script, finiteBin, "--", recorderBin(t), "4",
		}}, nil).wait()
		r.want(t, 42)
		for _, sig := range []int{10, 12, 28, 40} {
			if !strings.Contains(r.stdout, fmt.Sprintf("got %d ", sig)) {
				t.Errorf("%d did not arrive:\n%s", sig, r.stdout)
			}
		}
	})
}

// The command starts with exactly the signal mask, the ignored set, the limit of open files and the
// timer slack that finite was started with.
func TestInheritedState(t *testing.T) {
	needExact(t)
	perl := needCommand(t, "perl")
	bits := func(sigs ...unix.Signal) (mask uint64) {
		for _, sig := range sigs {
			mask |= 1 << (sig - 1)
		}
		return mask
	}
	for name, tt := range map[string]struct {
		ignore, block []unix.Signal
	}{
		"nothing": {},
		"nohup":   {ignore: []unix.Signal{unix.SIGHUP}},
		"some of each": {
			ignore: []unix.Signal{unix.SIGINT, unix.SIGSEGV, unix.SIGTTOU},
			block:  []unix.Signal{unix.SIGILL, unix.SIGTERM, unix.SIGTTIN},
		},
		"the runtime's": {
			ignore: []unix.Signal{unix.SIGPIPE, unix.SIGURG, unix.SIGPROF, 34},
			block:  []unix.Signal{unix.SIGURG, unix.SIGPROF, 33, 34, unix.SIGCHLD},
		},
		"all that can be": {
			ignore: signalsExcept(unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGFPE),
			block:  signalsExcept(unix.SIGKILL, unix.SIGSTOP),
		},
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				// The bare system calls: the C library keeps some real-time signals to itself.
				// (Perl itself does so with SIGCHLD and SIGFPE.)
				script := `for my $s (1 .. 64) { my $act = pack("QQQQ", 0, 0, 0, 0); syscall(13, $s, $act, 0, 8) }
for my $s (split /,/, shift) { my $act = pack("QQQQ", 1, 0, 0, 0);
syscall(13, $s + 0, $act, 0, 8) == 0 or die "sigaction $s: $!" }
my $set = pack("Q", shift); syscall(14, 2, $set, 0, 8) == 0 or die "sigprocmask: $!"; exec @ARGV`
				var list []string
				for _, sig := range tt.ignore {
					list = append(list, strconv.Itoa(int(sig)))
				}
				r := startSpec(t, cageSpec{Mode: m, Args: []string{
					"/bin/sh", "-c", `ulimit -Sn 77; exec "$@"`, "sh",
					perl, "-e", script, strings.Join(list, ","), strconv.FormatUint(bits(tt.block...), 10),
					finiteBin, "--", "cat", "/proc/self/status", "/proc/self/limits", "/proc/self/timerslack_ns",
				}}, nil).wait()
				r.want(t, 0)
				slack, _ := os.ReadFile("/proc/self/timerslack_ns")
				for _, want := range []string{
					"\n" + string(slack), fmt.Sprintf("SigBlk:\t%016x\n", bits(tt.block...)),
					fmt.Sprintf("SigIgn:\t%016x\n", bits(tt.ignore...)),
				} {
					if !strings.Contains(r.stdout, want) {
						t.Errorf("no %q in\n%s", want, r.stdout)
					}
				}
				if f := strings.Fields(r.stdout[strings.Index(r.stdout, "Max open files"):]); f[3] != "77" {
					t.Errorf("RLIMIT_NOFILE: %v", f)
				}
			})
		})
	}
}

// So it is where /proc is another PID namespace's, in which threads have other numbers; only that
// the monitor is not known there.
func TestTimerSlackWithAForeignProc(t *testing.T) {
	needExact(t)
	r := startWithin(t, asSubreaper, t.TempDir(), `exec unshare --pid --fork "$0" -- sh -c "$2"`,
		nil, slackForeign).wait()
	if r.want(t, 0); t.Failed() {
		t.Log(r.stdout)
	}
}

// A while after the start finite's own timers are as precise as those it was started with, but for
// the Go runtime's monitor, which is its second thread: the kernel may wake that one 10 ms late.
func TestTimerSlackOfThreads(t *testing.T) {
	needExact(t)
	forModes(t, rootModes, func(t *testing.T, m mode) { // nobody may not ask (proc_pid_timerslack_ns(5))
		r := run(t, m, "--", "sh", "-c", slackOfThreads)
		r.want(t, 0)
	})
}

func signalsExcept(not ...unix.Signal) (sigs []unix.Signal) {
next:
	for sig := unix.Signal(1); sig <= 64; sig++ {
		for _, n := range not {
			if sig == n {
				continue next
			}
		}
		sigs = append(sigs, sig)
	}
	return sigs
}

// A stop signal that was ignored when finite was started is passed on, and asks nobody to end: as
// under nohup.
func TestIgnoredStopIsPlain(t *testing.T) {
	needExact(t)
	atOnce(t, allModes, func(t *testing.T, m mode) {
		c := startSpec(t, cageSpec{Mode: m, Args: []string{
			"/bin/sh", "-c", `trap "" HUP TERM
exec "$0" --stop-grace ` + stretch("100ms") + ` -- perl -e '$| = 1; $SIG{TERM} = sub { print "told\n" };
print "ready\n"; for (1 .. 40) { select undef, undef, undef, 0.02 } exit 7'`, finiteBin,
		}}, nil)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGHUP)
		c.signal(unix.SIGTERM)
		c.stdout.await(t, "told")
		r := c.wait()
		r.want(t, 7)
		if r.stderr != "" {
			t.Errorf("stderr: %q", r.stderr)
		}
	})
}

// A sender that writes its siginfo itself is not believed: neither that it is the kernel, nor that
// it is outside, nor which process it is.
func TestForgedSender(t *testing.T) {
	needExact(t)
	for code, claim := range map[int32]int{-1: 0, -2: 4711, -4: 0, -5: 1, -60: 4711} {
		for name, options := range map[string][]string{"keeper": nil, "supervisor": {"-v"}} {
			t.Run(fmt.Sprintf("%d/%s", code, name), func(t *testing.T) {
				forModes(t, rootModes, func(t *testing.T, m mode) {
					dir := openDir(t)
					options = append(options, "--report", filepath.Join(dir, "report.json"))
					if name == "keeper" {
						options = nil
					}
					c := start(t, m, append(options, "-t", "1h", "--", "sh", "-c",
						`trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done`)...)
					c.stdout.await(t, "ready")
					c.queueInfo(unix.SIGTERM, code, claim, 0)
					r := c.wait()
					r.want(t, 5)
					for _, word := range []string{"from the kernel", "from outside"} {
						if strings.Contains(r.stderr, word) {
							t.Errorf("stderr: %s", r.stderr)
						}
					}
					text, _ := os.ReadFile(filepath.Join(dir, "report.json"))
					if name == "supervisor" && (!strings.Contains(string(text), `"from":"claimed"`) ||
						!strings.Contains(r.stderr, ", as the sender claims\n")) {
						t.Errorf("stderr: %s\nreport: %s", r.stderr, text)
					}
				})
			})
		}
	}
}

// The sender is named at info level, for every signal, and always where a stop is requested.
func TestSenderIsNamed(t *testing.T) {
	needExact(t)
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		c := start(t, m, "-v", "--", "perl", "-e", `$| = 1; $SIG{USR1} = sub { print "told\n" };
$SIG{TERM} = sub { exit 3 };
$0 = "perl"; print "ready\n"; my $finite = getppid;
if ($finite != 1) { # the keeper's parent is the front
open my $f, "<", "/proc/$finite/stat"; $finite = (split " ", <$f>)[3] }
kill "USR1", $finite; select undef, undef, undef, 1 while 1`)
		c.stdout.await(t, "told")
		c.stderr.await(t, "passed SIGUSR1 on to child from perl (pid ")
		c.signal(unix.SIGTERM)
		r := c.wait()
		r.want(t, 3)
		if !strings.Contains(r.stderr, "stop requested by SIGTERM from outside the PID namespace\n") {
			t.Errorf("stderr: %s", r.stderr)
		}
	})
}

// A stop signal is held back, and a second one ends that.
func TestStopDelay(t *testing.T) {
	command := []string{"perl", "-e", `$| = 1; $SIG{TERM} = sub { exit 3 }; $SIG{INT} = sub { exit 4 };
$SIG{USR1} = sub { print "told\n" };
print "ready\n"; select undef, undef, undef, 1 while 1`}
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := start(t, m, append([]string{"--stop-delay", stretch("300ms"), "--"}, command...)...)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGTERM)
		c.stderr.await(t, "it is held back for "+stretched(300*time.Millisecond).String())
		c.signal(unix.SIGUSR1)
		c.stdout.await(t, "told")
		c.wait().want(t, 3)

		c = start(t, m, append([]string{"--stop-delay", "1h", "--"}, command...)...)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGTERM)
		c.stderr.await(t, "it is held back for 1h0m0s")
		c.signal(unix.SIGINT)
		c.wait().want(t, 4)
	})
}

// SIGTERM at a random moment of the first 3 ms as PID 1: until the first instruction the kernel
// throws it away, for every init. After that finite ends with 143, whatever it was doing. So it
// loses no more of them than tini in the same run.
func TestSignalAtARandomMoment(t *testing.T) {
	needExact(t)
	tini := needCommand(t, "tini-static")
	const runs = 1000
	lost := map[string]int{}
	started := map[string]int{}
	for i := range runs {
		at := time.Duration(rand.Int64N(int64(3 * time.Millisecond)))
		for name, args := range map[string][]string{
			"finite": {finiteBin, "--", "sleep", "1000"}, "tini": {tini, "--", "sleep", "1000"},
		} {
			status, said := signalAt(t, at, args)
			switch {
			case status == 143:
			case status == 128+int(unix.SIGVTALRM):
				lost[name]++
			default:
				t.Errorf("run %d: %s ended with %d on a SIGTERM after %v: %s", i, name, status, at, said)
			}
			started[name]++
		}
	}
	t.Logf("of %d each: %v lost", runs, lost)
	// The two shares are of the same coin, so they differ by chance: four standard deviations.
	if limit := float64(lost["tini"]) + 4*math.Sqrt(2*float64(lost["tini"]+1)); float64(lost["finite"]) > limit {
		t.Errorf("finite lost %d, tini %d", lost["finite"], lost["tini"])
	}
}

// signalAt starts an init as PID 1, sends it SIGTERM at a moment after its exec, and returns its
// exit status. If the SIGTERM was lost, another signal, which comes after it in every order that
// there is, ends the command.
func signalAt(t *testing.T, at time.Duration, args []string) (status int, said string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	cmd.Stderr = &stderr
	if os.Geteuid() != 0 {
		missing(t, "needs root to make a PID namespace")
	}
	if err := startLocked(cmd); err != nil {
		missing(t, "cannot make a PID namespace: %v", err)
	}
	begin := time.Now()
	for time.Since(begin) < at { // a random moment, not synchronisation
		runtime.Gosched()
	}
	_ = cmd.Process.Signal(unix.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	for {
		select {
		case <-done:
			return exitCode(t, &exec.ExitError{ProcessState: cmd.ProcessState}), stderr.String()
		case <-time.After(20 * time.Millisecond):
			_ = cmd.Process.Signal(unix.SIGVTALRM)
		}
		if time.Since(begin) > patience() {
			_ = cmd.Process.Kill()
			t.Fatalf("%v did not end", args)
		}
	}
}
