//go:build amd64 || arm64

package signals

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What the test binary plays when it is started again: a process cannot send itself what the exact source takes for its own.
const roleEnv = "SIGNALS_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		play(role, os.Args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// play sends signals to its parent and says how many of each the kernel took, or is the one that signals are passed on to.
func play(role string, args []string) {
	if role == "target" {
		c := make(chan os.Signal, 1)
		signal.Notify(c, unix.SIGUSR1, unix.SIGALRM)
		fmt.Println("ready")
		for sig := range c {
			fmt.Println(map[os.Signal]string{unix.SIGUSR1: "usr1", unix.SIGALRM: "alrm"}[sig])
		}
	}
	if role == "healed" {
		fmt.Println(healed(args[0] == "coarse"))
		return
	}
	parent := os.Getppid()
	sent := make(map[int]int)
	switch role {
	case "one": // the signals that are named
		for _, arg := range args {
			n, _ := strconv.Atoi(arg)
			if unix.Kill(parent, unix.Signal(n)) == nil {
				sent[n]++
			}
		}
	case "queue": // one real-time signal with the values 0 to count-1
		n, _ := strconv.Atoi(args[0])
		count, _ := strconv.Atoi(args[1])
		for value := range count {
			for queue(parent, unix.Signal(n), value) == unix.EAGAIN {
				time.Sleep(time.Millisecond) // the kernel's queue is full: as sigqueue(3) says, try again
			}
			sent[n]++
		}
	case "flood": // count signals of all kinds, and each kind once more at the end
		seed, _ := strconv.ParseUint(args[0], 10, 64)
		count, _ := strconv.Atoi(args[1])
		rnd := rand.New(rand.NewPCG(seed, 1))
		for range count {
			sig := flood[rnd.IntN(len(flood))]
			if queue(parent, sig, int(sig)) == nil {
				sent[int(sig)]++
			}
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(sent)
}

// flood is what the senders of a flood choose from.
var flood = []unix.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM, unix.SIGWINCH, unix.SIGURG, unix.SIGSEGV, unix.SIGABRT, 40, RTMax,
}

func queue(pid int, sig unix.Signal, value int) error {
	return SendPID(pid, Signal{Number: sig, Code: codeQueue, Value: uint64(value), Sender: Sender{PID: os.Getpid(), UID: os.Getuid()}})
}

// send starts the test binary in a role and returns a function that waits for it and says how many signals of which number it sent.
func send(t *testing.T, role string, args ...string) func() map[int]int {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return sync.OnceValue(func() map[int]int {
		sent := make(map[int]int)
		err := json.NewDecoder(out).Decode(&sent)
		if waitErr := cmd.Wait(); err != nil || waitErr != nil {
			t.Errorf("the sender: %v, %v", err, waitErr)
		}
		return sent
	})
}

// exactSource makes the exact source in a process that did not begin at entry: all but what entry does.
func exactSource(t *testing.T) *Source {
	t.Helper()
	s, err := newEntrySource()
	if err != nil {
		t.Fatal(err)
	}
	source := &Source{C: s.c, entry: s}
	t.Cleanup(source.Close)
	return source
}

func next(t *testing.T, s *Source) Signal {
	t.Helper()
	select {
	case sig := <-s.C:
		s.Done(sig)
		return sig
	case <-time.After(patience):
		t.Fatal("nothing arrived")
		return Signal{}
	}
}

// What an earlier source has lost is not told again.
func TestExactSourceCountsItsOwnLosses(t *testing.T) {
	lost.Store(3)
	if s := exactSource(t); s.Lost() != 0 {
		t.Errorf("%d were lost", s.Lost())
	}
}

// Every signal arrives, with its sender: what the runtime uses for itself and the faults too, if a process has sent them.
func TestExactSourceDelivers(t *testing.T) {
	s := exactSource(t)
	for sig := unix.Signal(1); sig <= RTMax; sig++ {
		if neverSet.Has(sig) {
			continue
		}
		wait := send(t, "one", strconv.Itoa(int(sig)))
		got := next(t, s)
		if got.Number != sig || !got.Sender.Known || got.Sender.PID == 0 || got.Sender.UID != os.Getuid() || got.Code != codeUser {
			t.Errorf("sent %s, got %+v", Name(sig), got)
		}
		wait()
	}
}

// What the process has sent to itself is nobody's signal, and a fault of its own is the runtime's to panic about.
func TestExactSourceLeavesItsOwnToTheRuntime(t *testing.T) {
	s := exactSource(t)
	_ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGURG)
	_ = unix.Kill(os.Getpid(), unix.SIGPIPE)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		fault(nil)
	}()
	send(t, "one", "10")()
	if got := next(t, s); got.Number != unix.SIGUSR1 {
		t.Errorf("got %+v", got)
	}
}

func fault(p *int) { *p = 1 }

// A signal that is allowed to is passed on by the handler, with its value; one that is not, or that comes after the end of that, is not; and
// none overtakes one that has not been dealt with.
func TestExactSourcePasses(t *testing.T) {
	s := exactSource(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=target", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	expect := func(want string) {
		t.Helper()
		buf := make([]byte, len(want)+1)
		if n, err := out.Read(buf); err != nil || strings.TrimSpace(string(buf[:n])) != want {
			t.Fatalf("got %q, %v; want %q", buf[:n], err, want)
		}
	}
	expect("ready")
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Skip("no pidfd: ", err)
	}
	defer unix.Close(pidfd)

	s.Pass(pidfd, false, SetOf(unix.SIGUSR1, unix.SIGALRM), SetOf(unix.SIGALRM))
	passed := func(sig unix.Signal) bool {
		t.Helper()
		send(t, "one", strconv.Itoa(int(sig)))()
		got := next(t, s)
		if got.Number != sig {
			t.Fatalf("sent %s, got %+v", Name(sig), got)
		}
		return got.Passed
	}
	// The first signals may come to a thread that leaves them to the receiver from then on.
	for tries := 0; !passed(unix.SIGUSR1); tries++ {
		if tries == 100 {
			t.Fatal("SIGUSR1 is not passed on")
		}
	}
	expect("usr1")
	if passed(unix.SIGUSR2) {
		t.Error("SIGUSR2 was passed on")
	}
	// One that is not done yet keeps the next one back.
	send(t, "one", strconv.Itoa(int(unix.SIGUSR2)))()
	waiting := <-s.C
	send(t, "one", strconv.Itoa(int(unix.SIGUSR1)))()
	if got := <-s.C; got.Passed {
		t.Errorf("%s has overtaken %s", Name(got.Number), Name(waiting.Number))
	} else {
		s.Done(waiting)
		s.Done(got)
	}
	// What nobody wants to hear of is counted, and is none of those that come.
	before := s.Quiet()
	send(t, "one", strconv.Itoa(int(unix.SIGALRM)))()
	expect("alrm")
	s.Mark() // the handler counts after it has passed a signal on
	if n := s.Quiet() - before; n != 1 || !s.Reached(s.Mark()) {
		t.Errorf("%d signals were passed on quietly, want 1", n)
	}
	s.Pass(-1, false, 0, 0)
	if passed(unix.SIGUSR1) {
		t.Error("SIGUSR1 was passed on after the end")
	}
	if mark := s.Mark(); !s.Reached(mark) {
		t.Error("everything is done, but not reached")
	}
}

// healed heals the threads of a process that has not done so yet, and returns the timer slack of its second one, before and after.
func healed(coarse bool) (before, after int) {
	s, err := newEntrySource()
	if err != nil {
		panic(err)
	}
	source := &Source{C: s.c, entry: s}
	if coarse {
		source.CoarseMonitor()
	}
	tids, err := threads()
	if err != nil {
		panic(err)
	}
	monitor := fmt.Sprintf("/proc/self/task/%d/", tids[1])
	slack := func() (ns int) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tids[1]))
		if err == nil {
			_, err = fmt.Sscan(string(text), &ns)
		}
		if err != nil {
			panic(err)
		}
		return ns
	}
	before = slack()
	s.heal()
	for deaf := false; !deaf; time.Sleep(time.Millisecond) { // it is once the handler has returned
		text, err := os.ReadFile(monitor + "status")
		if err != nil {
			panic(err)
		}
		_, mask, _ := strings.Cut(string(text), "SigBlk:\t")
		bits, _ := strconv.ParseUint(mask[:min(16, len(mask))], 16, 64)
		deaf = Set(bits).Has(unix.SIGPROF)
	}
	return before, slack()
}

// The runtime's monitor has coarse timers only where that is wanted: the threads that it makes inherit them.
func TestCoarseMonitor(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may ask for another thread's timer slack (proc_pid_timerslack_ns(5))")
	}
	for _, coarse := range []bool{false, true} {
		cmd := exec.Command(os.Args[0], map[bool]string{false: "precise", true: "coarse"}[coarse])
		cmd.Env = append(os.Environ(), roleEnv+"=healed", "GORACE=atexit_sleep_ms=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		var before, after int
		if _, scanErr := fmt.Sscan(string(out), &before, &after); err != nil || scanErr != nil {
			t.Fatalf("%q: %v, %v", out, err, scanErr)
		}
		want := before
		if coarse {
			want = int(monitorSlack)
		}
		if after != want {
			t.Errorf("coarse %v: %d ns, before %d, want %d", coarse, after, before, want)
		}
	}
}

// Values of a real-time signal come in the order in which they were sent.
func TestExactSourceKeepsValuesInOrder(t *testing.T) {
	const count = 500
	s := exactSource(t)
	// A thread that is not the receiver may deliver out of order: let all of them learn. The binary does this when the command has been started.
	s.entry.heal()
	wait := send(t, "queue", strconv.Itoa(int(RTMin)), strconv.Itoa(count))
	for value := range count {
		if got := next(t, s); got.Number != RTMin || got.Value != uint64(value) {
			t.Fatalf("got %+v, want value %d", got, value)
		}
	}
	wait()
	if s.Lost() != 0 {
		t.Errorf("%d were lost", s.Lost())
	}
}

// With a reader that does not read, 8 senders and 100,000 signals: no standard signal is lost, real-time ones are queued up to the bound, and
// every one beyond it is counted.
func TestExactSourceStalledReader(t *testing.T) {
	const senders, each = 8, 12500
	s := exactSource(t)
	var waits []func() map[int]int
	for i := range senders {
		waits = append(waits, send(t, "flood", strconv.Itoa(i), strconv.Itoa(each)))
	}
	sent := make(map[int]int)
	total := 0
	for _, wait := range waits {
		for sig, n := range wait() {
			sent[sig] += n
			total += n
		}
	}
	realTime := func(m map[int]int) int { return m[40] + m[int(RTMax)] }
	// The reader has taken some from the queue before it stalled. When all are here, read.
	for begin := time.Now(); s.Lost()+queueLength < realTime(sent)-len(records)/recordSize; time.Sleep(time.Millisecond) {
		if time.Since(begin) > patience {
			t.Fatalf("of %d real-time signals %d are lost and %d are queued, and the others are not here", realTime(sent), s.Lost(), queued.Load())
		}
	}
	got := make(map[int]int)
	for !s.Reached(s.Mark()) || realTime(got)+s.Lost() < realTime(sent) {
		got[int(next(t, s).Number)]++
	}
	for _, sig := range flood {
		if sig < firstRealTime && got[int(sig)] == 0 {
			t.Errorf("%s was sent %d times and never arrived", Name(sig), sent[int(sig)])
		}
		if sig < firstRealTime && got[int(sig)] > 4 {
			t.Errorf("%s arrived %d times at a reader that was asleep", Name(sig), got[int(sig)])
		}
	}
	if n := realTime(got); n < queueLength || n > queueLength+len(records)/recordSize || n+s.Lost() != realTime(sent) {
		t.Errorf("of %d real-time signals %d arrived and %d were lost; %d should have been queued", realTime(sent), n, s.Lost(), queueLength)
	}
	t.Logf("%d signals: %v sent, %v arrived, %d lost", total, sent, got, s.Lost())
}

// A program that begins at entry knows what it was started with, and loses nothing of its environment.
func TestEntry(t *testing.T) {
	bin := buildEntered(t)
	type report struct {
		Source        string
		Mask, Ignored Set
		Files, Now    unix.Rlimit
		Env           []string
		Procs         int
	}
	var limit unix.Rlimit // as children have it: this process's own soft limit was raised by the Go runtime
	for option, to := range map[string]*uint64{"-Sn": &limit.Cur, "-Hn": &limit.Max} {
		out, err := exec.Command("sh", "-c", "ulimit "+option).Output()
		if err == nil {
			*to, err = strconv.ParseUint(strings.TrimSpace(string(out)), 10, 64)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		shell         string
		blocked       string
		ignored, mask Set
	}{
		"nothing":           {},
		"ignored":           {shell: `trap "" INT SEGV TTOU;`, ignored: SetOf(unix.SIGINT, unix.SIGSEGV, unix.SIGTTOU)},
		"ignored and limit": {shell: `trap "" HUP; ulimit -Sn 64;`, ignored: SetOf(unix.SIGHUP)},
		"blocked":           {blocked: "4, 15, 21, 34, 64", mask: SetOf(unix.SIGILL, unix.SIGTERM, unix.SIGTTIN, RTMin, RTMax)},
	} {
		// The threads of this process have signals blocked since they met an exact source.
		mask := `exec perl -MPOSIX -e 'sigprocmask(SIG_SETMASK, POSIX::SigSet->new(` + tt.blocked + `)); exec @ARGV' "$0"`
		cmd := exec.Command("sh", "-c", tt.shell+mask, bin)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "GOMEMLIMIT=nonsense", "GODEBUG=inittrace=1", "GOMAXPROCS=7", "GOOGLE=x", "G=1", "GO=", "GOGC=\x01O",
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		var got report
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		tt.ignored |= ignoredHere(t)
		if got.Source != "entry" || got.Mask != tt.mask || got.Ignored != tt.ignored {
			t.Errorf("%s: %s source, blocked %#x, ignored %#x; want entry, %#x, %#x", name, got.Source, got.Mask, got.Ignored, tt.mask, tt.ignored)
		}
		if soft := got.Files.Cur; name == "ignored and limit" && soft != 64 || name == "nothing" && soft != limit.Cur {
			t.Errorf("%s: RLIMIT_NOFILE %d", name, soft)
		}
		for _, kv := range cmd.Env {
			if !slices.Contains(got.Env, kv) {
				t.Errorf("%s: %q is not in the environment: %q", name, kv, got.Env)
			}
		}
		if got.Procs != 1 || got.Now.Cur != limit.Max || got.Now.Max != limit.Max {
			t.Errorf("%s: GOMAXPROCS %d, RLIMIT_NOFILE %v; want 1, %d", name, got.Procs, got.Now, limit.Max)
		}
	}
}

// The environment is exactly what was given, the arguments are, and it does not matter which of the standard descriptors are open.
func TestEntryMovesArguments(t *testing.T) {
	bin := buildEntered(t)
	long := strings.Repeat("x", 100_000)
	for _, tt := range []struct {
		args, env []string
		shell     string
	}{
		{nil, []string{}, ""},
		{nil, []string{"A=1"}, ""},
		{nil, []string{"GOMAXPROCS=7", "GODEBUG=a"}, "<&- 2>&-"},
		{[]string{"", "a", long}, []string{"A=" + long, "B="}, "<&-"},
		{[]string{"a", "b"}, []string{"A=1", "B=2"}, "2>&-"},
	} {
		cmd := exec.Command("sh", "-c", `env -i "$@" `+tt.shell, "sh")
		cmd.Args = append(cmd.Args, tt.env...)
		cmd.Args = append(cmd.Args, bin, "arguments")
		cmd.Args = append(cmd.Args, tt.args...)
		out, err := cmd.Output()
		var got struct{ Args, Env []string }
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		if err != nil || !slices.Equal(got.Args, tt.args) || !slices.Equal(got.Env, tt.env) {
			t.Errorf("arguments %.100q, environment %.100q, %v; want %.100q, %.100q", got.Args, got.Env, err, tt.args, tt.env)
		}
	}
}

// ignoredHere is what this process has ignored, and every child with it.
func ignoredHere(t *testing.T) (set Set) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "SigIgn:\t")
	bits, err := strconv.ParseUint(rest[:16], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return Set(bits)
}

// A stop signal ends a program with 128+n from its first instruction on, before it listens.
func TestEntryEndsOnAStopSignal(t *testing.T) {
	bin := buildEntered(t)
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGTERM} {
		cmd := exec.Command("perl", "-MPOSIX", "-e", "sigprocmask(SIG_SETMASK, POSIX::SigSet->new()); exec @ARGV", bin, "wait")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var ready [1]byte
		_, _ = out.Read(ready[:])
		_ = cmd.Process.Signal(sig)
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != 128+int(sig) {
			t.Errorf("%s: %v, want exit status %d", Name(sig), cmd.ProcessState, 128+int(sig))
		}
	}
}

// buildEntered builds the program in testdata, which begins at entry.
func buildEntered(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "entered")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-E github.com/finite-init/finite/signals.entry", "-o", bin, "./testdata/entered")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// The assembly knows these numbers.
func TestLayout(t *testing.T) {
	if unsafe.Sizeof(sigaction{}) != 32 || unsafe.Offsetof(sigaction{}.mask) != 24 {
		t.Error("struct sigaction has another layout")
	}
	for file, constants := range map[string]map[string]int{
		"entry_linux_amd64.s": {"RECORD": recordSize, "QUEUE": queueLength, "REAL_TIME": int(firstRealTime)},
		"entry_linux_arm64.s": {"RECORD": recordSize, "QUEUE": queueLength, "REAL_TIME": int(firstRealTime)},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range constants {
			if !strings.Contains(string(text), fmt.Sprintf("#define %s %d", name, value)) {
				t.Errorf("%s does not define %s as %d", file, name, value)
			}
		}
	}
}
