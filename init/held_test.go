package pid1

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
)

func held(code reap.Code, status int) event {
	return event{kind: evHeld, change: reap.Change{PID: testPID, Code: code, Status: status}, why: "its tracer gdb (pid 9) holds it"}
}

// A command whose zombie a tracer holds has ended: the rest is dealt with, and its status is what
// it is.
func TestMachineHeld(t *testing.T) {
	for _, test := range []struct {
		name   string
		cfg    func(*Config)
		steps  []step
		kind   Kind
		status int
	}{
		{
			name: "until what holds it is ended",
			steps: []step{
				{held(reap.CodeExited, 3), "arm settle 1s; disarm settle; terminate SIGTERM; arm grace 5s", stateLeftovers},
				{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
				{exit(3), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 3,
		},
		{
			name: "for ever",
			steps: []step{
				{held(reap.CodeKilled, 11), "arm settle 1s; disarm settle; terminate SIGTERM; arm grace 5s", stateLeftovers},
				{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", stateSurvey},
				{event{kind: evSurvivors, survivors: []inspect.Survivor{{PID: testPID}}}, "end", stateEnded},
			},
			kind: KindSignaled, status: 128 + 11,
		},
		{
			name: "and let go before anything is done about it", cfg: func(c *Config) { c.Leftovers = LeftoversWait },
			steps: []step{
				{held(0, 0), "arm settle 1s; disarm settle", stateLeftovers},
				{exit(4), "", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 4,
		},
		{
			name: "at the deadline",
			steps: []step{
				{event{kind: evDeadline, gone: true}, "arm grace 5s", stateStopping},
				{held(reap.CodeExited, 0), "arm settle 1s; disarm settle; terminate SIGTERM", stateLeftovers},
				{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
				{exit(0), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 0,
		},
		{
			name: "while it is killed",
			steps: []step{
				{deadline, "send SIGTERM child; arm grace 5s", stateStopping},
				{timer(timerGrace), "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{held(reap.CodeKilled, 9), "", stateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", stateSurvey},
				{event{kind: evSurvivors, survivors: []inspect.Survivor{{PID: testPID}}}, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name:   "but it was reaped just then",
			steps:  []step{{exit(5), "arm settle 1s", stateLeftovers}, {held(reap.CodeExited, 0), "", stateLeftovers}, {empty, "end", stateEnded}},
			kind:   KindExited,
			status: 5,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := newMachine(testConfig(test.cfg), nsutil.RoleSubreaper)
			m.handle(cloning)
			m.handle(started)
			for i, s := range test.steps {
				if got := said(m.handle(s.event)); got != s.want || m.state != s.state {
					t.Fatalf("step %d, %v: %q, %v; want %q, %v", i, s.event.kind, got, m.state, s.want, s.state)
				}
			}
			if status := exitStatus(m.cfg, m.cause, true); m.cause.Kind != test.kind || status != test.status || m.counts.Unexpected > 0 {
				t.Errorf("%+v, status %d, %d unexpected; want %v, %d", m.cause, status, m.counts.Unexpected, test.kind, test.status)
			}
		})
	}
}

// What a zombie ended with is read where it may be.
func TestHeldEvent(t *testing.T) {
	for script, want := range map[string]reap.Change{
		"exit 3":        {Code: reap.CodeExited, Status: 3},
		"exit 0":        {Code: reap.CodeExited},
		"kill -SEGV $$": {Code: reap.CodeKilled, Status: 11},
	} {
		cmd := exec.Command("sh", "-c", "ulimit -c 0; "+script)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pid := cmd.Process.Pid
		for !reap.HasEnded(pid) {
			time.Sleep(time.Millisecond)
		}
		want.PID, want.UID = pid, unix.Getuid()
		if ev := heldEvent(procfs.NewProc(), pid); ev.kind != evHeld || ev.change != want || !strings.Contains(ev.why, "cannot be reaped") {
			t.Errorf("%s: got %+v, want %+v", script, ev, want)
		}
		_ = cmd.Wait()
		if ev := heldEvent(procfs.NewProc(), pid); ev.kind != evNone {
			t.Errorf("%s, reaped: got %+v", script, ev)
		}
	}
}

func TestHeldWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []event
		for name, reaped := range map[string]bool{"is reaped": true, "is held": false} {
			got = nil
			w := heldWatch{post: func(ev event) { got = append(got, ev) }}
			w.ended(heldTime, func() event { return held(reap.CodeExited, 1) })
			w.ended(heldTime, func() event { return held(reap.CodeExited, 2) })
			time.Sleep(heldTime - 1)
			if reaped {
				w.close()
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(got) != map[bool]int{true: 0, false: 1}[reaped] {
				t.Errorf("%s: got %v", name, got)
			}
			w.close()
		}
	})
}

// The end of a command that nobody reaps is seen by the pidfd that the kernel has given at its
// start, also where it comes long after the watch has begun.
func TestHeldWatchSeesTheEnd(t *testing.T) {
	pidfd := -1
	cmd := exec.Command("cat")
	cmd.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if pidfd < 0 {
		t.Skip("no pidfd")
	}
	defer unix.Close(pidfd)
	pid := cmd.Process.Pid
	events := make(chan event, 1)
	w := heldWatch{post: func(ev event) { events <- ev }, spare: 1}
	defer w.close()
	w.watch(pid, pidfd)
	if w.file == nil {
		t.Fatal("nothing is watched")
	}
	stdin.Close()
	select {
	case ev := <-events:
		if want := (reap.Change{PID: pid, UID: unix.Getuid(), Code: reap.CodeExited}); ev.kind != evHeld || ev.change != want {
			t.Errorf("got %+v, want %+v", ev, want)
		}
	case <-time.After(time.Minute):
		t.Error("the end was not seen")
	}
	_ = cmd.Wait()
}
