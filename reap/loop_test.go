package reap

import (
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test binary is also the command that the tests run: FINITE_TEST_ROLE says what it does.
func TestMain(m *testing.M) {
	if role := os.Getenv("FINITE_TEST_ROLE"); role != "" {
		playRole(role)
	}
	os.Exit(m.Run())
}

func playRole(role string) {
	switch role {
	case "exit-7":
		os.Exit(7)
	case "stop":
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
		os.Exit(0)
	case "wait": // until standard input is closed
		var b [1]byte
		_, _ = os.Stdin.Read(b[:])
		os.Exit(0)
	case "kill":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
	os.Exit(99)
}

const patience = 30 * time.Second

// fork starts the test binary in a role, with stdin as its standard input (-1: none).
func fork(t *testing.T, role string, stdin int) int {
	t.Helper()
	files := []uintptr{uintptr(stdin), 1, 2}
	if stdin < 0 {
		files[0] = ^uintptr(0)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", []string{role}, &syscall.ProcAttr{
		Env: append(os.Environ(), "FINITE_TEST_ROLE="+role), Files: files,
	})
	if err != nil {
		t.Error(err)
	}
	return pid
}

// recorder is a Handler that writes down what it is told.
type recorder struct {
	mu       sync.Mutex
	events   []string
	changes  map[int]Change
	ch       chan string
	onExited func(Change)
}

func newRecorder() *recorder {
	return &recorder{changes: map[int]Change{}, ch: make(chan string, 1000)}
}

func (r *recorder) tell(what string, c Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, what)
	if c.PID != 0 {
		r.changes[c.PID] = c
	}
	r.ch <- what
}

func (r *recorder) Exited(c Change) {
	if r.onExited != nil {
		r.onExited(c)
	}
	r.tell("exited", c)
}
func (r *recorder) Stopped(c Change) { r.tell("stopped", c) }
func (r *recorder) Reaped(all []Change) {
	for _, c := range all {
		r.tell("reaped", c)
	}
}
func (r *recorder) Remaining()       { r.tell("remaining", Change{}) }
func (r *recorder) Empty()           { r.tell("empty", Change{}) }
func (r *recorder) Failed(err error) { r.tell("failed: "+err.Error(), Change{}) }

func (r *recorder) await(t *testing.T, what string) {
	t.Helper()
	for {
		select {
		case got := <-r.ch:
			if got == what {
				return
			}
		case <-time.After(patience):
			t.Fatalf("no %q; so far %v", what, r.events)
		}
	}
}

func TestLoopReapsEverybodyAndSaysSo(t *testing.T) {
	var l Loop
	rec := newRecorder()
	var child int
	var others []int
	pinned := true
	rec.onExited = func(c Change) {
		// Not consumed yet: the PID is still the child's.
		pinned = unix.Kill(c.PID, 0) == nil && HasEnded(c.PID)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(func() int {
			for range 20 {
				others = append(others, fork(t, "exit-7", -1))
			}
			others = append(others, fork(t, "kill", -1))
			child = fork(t, "exit-7", -1)
			return child
		}, rec)
	}()
	rec.await(t, "empty")
	if !pinned {
		t.Error("the child was consumed before Exited returned")
	}
	for _, pid := range append(others, child) {
		if unix.Kill(pid, 0) != unix.ESRCH {
			t.Errorf("pid %d was not reaped", pid)
		}
	}
	rec.mu.Lock()
	if c := rec.changes[child]; c.Code != CodeExited || c.Status != 7 || c.Rusage.MaxRSS == 0 {
		t.Errorf("child: %+v", c)
	}
	if c := rec.changes[others[20]]; c.Code != CodeKilled || c.Signal() != unix.SIGKILL {
		t.Errorf("killed child: %+v", c)
	}
	rec.mu.Unlock()
	l.Again() // a resting loop looks again when it is told to
	rec.await(t, "empty")
	l.Close()
	<-done
}

func TestLoopSaysWhoRemains(t *testing.T) {
	var l Loop
	rec := newRecorder()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(func() int {
			fork(t, "wait", p[0])
			return fork(t, "exit-7", -1)
		}, rec)
	}()
	rec.await(t, "exited")
	rec.await(t, "remaining")
	unix.Close(p[1]) // the other one ends now
	rec.await(t, "reaped")
	rec.await(t, "empty")
	l.Close()
	<-done
	unix.Close(p[0])
}

func TestLoopSeesStops(t *testing.T) {
	var l Loop
	rec := newRecorder()
	var child int
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(func() int { child = fork(t, "stop", -1); return child }, rec)
	}()
	rec.await(t, "stopped")
	rec.mu.Lock()
	if c := rec.changes[child]; c.Code != CodeStopped || c.Signal() != unix.SIGSTOP || c.Ended() {
		t.Errorf("%+v", c)
	}
	rec.mu.Unlock()
	if HasEnded(child) {
		t.Error("a stopped child has not ended")
	}
	_ = unix.Kill(child, unix.SIGCONT)
	rec.await(t, "empty")
	l.Close()
	<-done
	if c := rec.changes[child]; c.Code != CodeExited || c.Status != 0 {
		t.Errorf("%+v", c)
	}
}

// While the loop is pinned, a zombie stays one.
func TestLoopPin(t *testing.T) {
	var l Loop
	rec := newRecorder()
	var child int
	l.Lock()
	forked := make(chan struct{})
	go l.Run(func() int { child = fork(t, "exit-7", -1); close(forked); return 0 }, rec)
	<-forked
	for deadline := time.Now().Add(patience); !HasEnded(child); {
		if time.Now().After(deadline) {
			t.Fatal("the child did not become a zombie: was it consumed?")
		}
	}
	rec.mu.Lock()
	if len(rec.changes) > 0 {
		t.Errorf("told of %v while pinned", rec.changes)
	}
	rec.mu.Unlock()
	l.Unlock()
	rec.await(t, "empty")
	if HasEnded(child) {
		t.Error("an unpinned child was not consumed")
	}
	l.Close()
}

func TestChangeString(t *testing.T) {
	for _, tt := range []struct {
		c     Change
		text  string
		ended bool
	}{
		{Change{PID: 3, Code: CodeExited, Status: 255}, "pid 3 exited with status 255", true},
		{Change{PID: 3, Code: CodeKilled, Status: 9}, "pid 3 was ended by signal 9", true},
		{Change{PID: 3, Code: CodeDumped, Status: 6}, "pid 3 was ended by signal 6 (core dumped)", true},
		{Change{PID: 3, Code: CodeStopped, Status: 20}, "pid 3 was stopped by signal 20", false},
		{Change{PID: 3, Code: CodeContinued}, "pid 3 was continued", false},
		{Change{PID: 3, Code: 77}, "pid 3 changed state (code 77, status 0)", false},
	} {
		if got := tt.c.String(); got != tt.text {
			t.Errorf("String() = %q, want %q", got, tt.text)
		}
		if got := tt.c.Ended(); got != tt.ended {
			t.Errorf("%v: Ended() = %v", tt.c, got)
		}
	}
}

// A wait allocates nothing, whether there is somebody to reap or not.
func TestWaitAllocatesNothing(t *testing.T) {
	var w waiter
	look := func(options int) func() {
		return func() { _, _, _ = w.wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOWAIT|options) }
	}
	if n := testing.AllocsPerRun(100, look(unix.WNOHANG)); n != 0 {
		t.Errorf("without a child: %v allocations", n)
	}
	pid := fork(t, "exit-7", -1)
	if _, _, err := w.wait(unix.P_PID, pid, unix.WEXITED|unix.WNOWAIT); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = Wait(pid) }()
	if n := testing.AllocsPerRun(100, look(0)); n != 0 {
		t.Errorf("with one: %v allocations", n)
	}
}
