package engines

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// terminal is a new pseudo-terminal, as seen by who types.
type terminal struct {
	*os.File
	slave *os.File
	shown strings.Builder
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	// Non-blocking, so that reads have a deadline.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatalf("cannot open /dev/ptmx: %v", err)
	}
	term := &terminal{File: os.NewFile(uintptr(fd), "/dev/ptmx")}
	t.Cleanup(func() { term.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	term.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := term.SetReadDeadline(time.Now().Add(testkit.Patience())); err != nil {
		t.Fatal(err)
	}
	return term
}

// start runs cmd in a session of its own on the terminal.
func (term *terminal) start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, term.slave
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	term.slave.Close()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
}

// await reads until the terminal has shown the text.
func (term *terminal) await(t *testing.T, text string) {
	t.Helper()
	buf := make([]byte, 256)
	for !strings.Contains(term.shown.String(), text) {
		n, err := term.Read(buf)
		term.shown.Write(buf[:n])
		if err != nil {
			t.Fatalf("%v before the terminal showed %q; it shows:\n%s", err, text, term.shown.String())
		}
	}
}

// On a terminal, the status comes through, and what is typed reaches the command: it is in the
// foreground, in a group of its own.
func TestDockerTerminal(t *testing.T) {
	d := docker(t)
	for _, test := range []struct {
		name, script, typed string
		status              int
	}{
		// Group and foreground group, proc_pid_stat(5), are the command's own.
		{"status", `set -- $(cat /proc/$$/stat); [ "$5:$8" = "$$:$$" ] && echo ready; exit 6`, "", 6},
		{"Ctrl-C", `trap "exit 3" INT; echo ready; while :; do sleep 0.1; done`, "\x03", 3},
		{"input", `echo ready; read -r word; [ "$word" = word ] && exit 8`, "word\r", 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := d.newContainer(t)
			term := newTerminal(t)
			cmd := d.command(append(c.options(), "-it", image, "sh", "-c", test.script)...)
			term.start(t, cmd)
			term.await(t, "ready")
			if _, err := io.WriteString(term, test.typed); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(term)
			if !errors.Is(err, unix.EIO) { // which is the end of the client
				t.Errorf("hangs: %v", err)
				_ = cmd.Process.Kill()
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != test.status {
				t.Errorf("status %d, want %d; the terminal shows:\n%s%s", got, test.status, term.shown.String(), rest)
			}
			checkGone(t, c.mark)
		})
	}
}
