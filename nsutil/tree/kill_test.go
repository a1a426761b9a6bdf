package tree

import (
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
)

// closingPin is a reaper that ends the kill while it is held: in the middle of a round.
type closingPin struct {
	sync.Mutex
	once sync.Once
	done chan struct{}
}

func (p *closingPin) Lock() {
	p.Mutex.Lock()
	p.once.Do(func() { close(p.done) })
}

func (p *closingPin) Drained() bool { return true }

// A kill that is ended in the middle of a round leaves no process stopped.
func TestKillEndsItsRound(t *testing.T) {
	if nsutil.CurrentRole() == nsutil.RoleInit {
		t.Skip("PID 1 stops no process before it kills")
	}
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer func() {
		_ = unix.Kill(pid, unix.SIGKILL)
		_ = cmd.Wait()
	}()
	pin := &closingPin{done: make(chan struct{})}
	New(nsutil.RoleSubreaper, pin, nil).Kill(pin.done, func(err error) { t.Error(err) })
	for begin := time.Now(); !reap.HasEnded(pid); time.Sleep(time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal("the process was stopped, and not killed")
		}
	}
}
