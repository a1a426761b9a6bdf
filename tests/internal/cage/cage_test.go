package cage

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// sight is what the inside of these tests tells.
type sight struct {
	PID, Status int
	Text        string
	Left        []testkit.Process
}

func TestMain(m *testing.M) {
	Main(m, Roles{
		"witness": func() {
			Enter()
			child := Fork("child", Order[int](), syscall.ProcAttr{})
			s := sight{PID: os.Getpid(), Status: Wait(child), Text: strings.Repeat("x", 1<<20)}
			orphan := Fork("sleeper", nil, syscall.ProcAttr{})
			s.Left = Everybody()
			Must(unix.Kill(orphan, unix.SIGKILL))
			Reap(testkit.Patience(), func() bool { return len(Everybody()) == 0 })
			Tell(s)
			os.Exit(0)
		},
		"child":   func() { os.Exit(Order[int]()) },
		"sleeper": func() { time.Sleep(time.Hour) },
		"mute":    func() { os.Exit(3) },
	}, nil)
}

func TestTold(t *testing.T) {
	c := Start(t, "witness", 7, func(cmd *exec.Cmd) { cmd.Stderr = os.Stderr })
	var s sight
	if err := c.End(&s, testkit.Patience()); err != nil {
		t.Fatal(err)
	}
	if s.PID != 1 || s.Status != 7 || len(s.Text) != 1<<20 || len(s.Left) != 1 {
		t.Errorf("PID %d, status %d, %d bytes, left: %v", s.PID, s.Status, len(s.Text), s.Left)
	}
}

func TestNothingTold(t *testing.T) {
	c := Start(t, "mute", nil, nil)
	err := c.End(new(sight), testkit.Patience())
	if err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("%v", err)
	}
}

func TestHung(t *testing.T) {
	c := Start(t, "sleeper", nil, nil)
	err := c.End(new(sight), time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "never ended:\n") {
		t.Errorf("%v", err)
	}
}
