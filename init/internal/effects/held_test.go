package effects

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/finite-init/finite/init/internal/machine"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/reap"
)

func held(code reap.Code, status int) machine.Event {
	return machine.Event{Kind: machine.EvHeld, Change: reap.Change{Code: code, Status: status}}
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
		if ev := heldEvent(procfs.NewProc(), pid); ev.Kind != machine.EvHeld || ev.Change != want ||
			!strings.Contains(ev.Why, "cannot be reaped") {
			t.Errorf("%s: got %+v, want %+v", script, ev, want)
		}
		_ = cmd.Wait()
		if ev := heldEvent(procfs.NewProc(), pid); ev.Kind != machine.EvNone {
			t.Errorf("%s, reaped: got %+v", script, ev)
		}
	}
}

func TestHeldWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []machine.Event
		for name, reaped := range map[string]bool{"is reaped": true, "is held": false} {
			got = nil
			w := heldWatch{post: func(ev machine.Event) { got = append(got, ev) }}
			w.ended(heldTime, func() machine.Event { return held(reap.CodeExited, 1) })
			w.ended(heldTime, func() machine.Event { return held(reap.CodeExited, 2) })
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
	events := make(chan machine.Event, 1)
	w := heldWatch{kernel: theLinux, post: func(ev machine.Event) { events <- ev }, spare: 1}
	defer w.close()
	w.watch(pid, pidfd)
	if w.file == nil {
		t.Fatal("nothing is watched")
	}
	stdin.Close()
	select {
	case ev := <-events:
		if want := (reap.Change{PID: pid, UID: unix.Getuid(), Code: reap.CodeExited}); ev.Kind != machine.EvHeld ||
			ev.Change != want {
			t.Errorf("got %+v, want %+v", ev, want)
		}
	case <-time.After(time.Minute):
		t.Error("the end was not seen")
	}
	_ = cmd.Wait()
}
