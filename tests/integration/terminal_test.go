package integration

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
)

// console is a shell or a command on a terminal of its own, whose session leader it is.
type console struct {
	t   *testing.T
	tty *os.File
	cmd *exec.Cmd
	out *lines
}

func openConsole(t *testing.T, args ...string) *console {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "PS1=prompt> ", "TERM=dumb", "HISTFILE=", "FINITE="+finiteBin)
	tty, tts, err := pty.Open()
	if err != nil {
		missing(t, "no pseudo-terminal: %v", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tts, tts, tts
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := startLocked(cmd); err != nil {
		t.Fatal(err)
	}
	tts.Close()
	c := &console{t: t, tty: tty, cmd: cmd, out: newLines()}
	go func() {
		_, _ = io.Copy(c.out, tty)
		c.out.close()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		tty.Close() // hangs up whoever is still there
	})
	return c
}

// openShell opens a console with an interactive shell, which has job control, and waits for its
// prompt.
func openShell(t *testing.T) *console {
	t.Helper()
	c := openConsole(t, needCommand(t, "bash"), "--norc", "--noprofile", "-i")
	c.out.await(t, "prompt> ")
	return c
}

func (c *console) write(s string) {
	c.t.Helper()
	if _, err := c.tty.WriteString(s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *console) wait(status int) {
	c.t.Helper()
	if got := exitCode(c.t, c.cmd.Wait()); got != status {
		c.t.Errorf("status %d, want %d\n%s", got, status, c.out)
	}
}

const (
	ctrlC = "\x03"
	ctrlZ = "\x1a"
)

// As the leader of its session, as under docker run -it: the command has the foreground, reads, and
// gets Ctrl-C from the terminal.
func TestTerminalAsSessionLeader(t *testing.T) {
	c := openConsole(t, finiteBin, "--", "sh", "-c", `trap "echo interrupted; exit 3" INT; `+
		`echo ready; read -r word; echo "read $word"; while :; do sleep 0.05; done`)
	c.out.await(t, "ready")
	c.write("word\n")
	c.out.await(t, "read word")
	c.write(ctrlC)
	c.out.await(t, "interrupted")
	c.wait(3)
}

// Under a shell with job control: Ctrl-Z stops both, fg resumes both, and the terminal is given
// back at the end.
func TestTerminalJobControl(t *testing.T) {
	tryJobControl(t, "")
}

// tryJobControl has finite run with the options under a shell, and types.
func tryJobControl(t *testing.T, options string) {
	t.Helper()
	c := openShell(t)
	c.write("$FINITE " + options + ` -- sh -c 'echo rea""dy; read -r a; ` +
		`echo "fi""rst $a"; read -r b; echo "sec""ond $b"; exit 5'` + "\n")
	c.out.await(t, "ready")
	c.write("one\n")
	c.out.await(t, "first one")
	c.write(ctrlZ)
	c.out.await(t, "Stopped")
	c.write("echo the sh'ell' is back\n")
	c.out.await(t, "the shell is back")
	c.write("fg\n")
	c.write("two\n")
	c.out.await(t, "second two")
	c.write("echo sta'tus' $?\n")
	c.out.await(t, "status 5")
	c.write("exit 0\n")
	c.wait(0)
}

// In a script, where no shell puts the foreground back, finite does.
func TestTerminalIsGivenBack(t *testing.T) {
	c := openConsole(t, "sh", "-c",
		`$FINITE -- true; $FINITE -- no-such-command; echo ready; read -r word; echo "read $word"; exit 4`)
	c.out.await(t, "ready")
	c.write("word\n")
	c.out.await(t, "read word")
	c.wait(4)
	if strings.Count(c.out.String(), "finite:") != 1 {
		t.Errorf("output: %q", c.out)
	}
}

// A job that is continued in the background leaves the terminal to the shell, also when it ends.
func TestTerminalIsNotTakenFromTheShell(t *testing.T) {
	needCommand(t, "perl")
	c := openShell(t)
	// The command waits for a child that is stopped with it. Not a shell's: one that is stopped
	// within vfork never stops as a whole.
	c.write(`$FINITE -- perl -e '$| = 1; if (!fork) { print "rea" . "dy\n"; ` +
		`select undef, undef, undef, 1; exit } wait; print "do" . "ne\n"'` + "\n")
	c.out.await(t, "ready")
	c.write(ctrlZ)
	c.out.await(t, "Stopped")
	c.write("bg\n")
	c.write("wait; echo sta'tus' $?\n")
	c.out.await(t, "done")
	c.out.await(t, "status")
	c.write("echo the sh'ell' is here\n")
	c.out.await(t, "the shell is here")
	c.write("exit 6\n")
	c.wait(6)
}

// A command that wants the terminal in the background is stopped, and finite with it; fg resumes
// both.
func TestTerminalFromTheBackground(t *testing.T) {
	c := openShell(t)
	c.write(`$FINITE -- sh -c 'read -r a; echo "g""ot $a"; exit 7' &` + "\n")
	c.write("while ! jobs -s | grep -q Stopped; do sleep 0.05; done; echo sto'pped'\n")
	c.out.await(t, "stopped")
	c.write("fg\n")
	c.write("word\n")
	c.out.await(t, "got word")
	c.write("echo sta'tus' $?\n")
	c.out.await(t, "status 7")
	c.write("exit 0\n")
	c.wait(0)
}

// In the background of a terminal, with TOSTOP set, what finite says does not stop it.
func TestTerminalInTheBackground(t *testing.T) {
	c := openShell(t)
	c.write("stty tostop\n")
	c.write("$FINITE -t " + stretch("300ms") + " -- sleep 1000 & wait $!; echo sta'tus' $?\n")
	c.out.await(t, "status 124")
	c.write("exit 0\n")
	c.wait(0)
}

// An interactive shell under finite, as under docker run -it or as a login shell: it has job
// control of its own, and finite is in nobody's way.
func TestTerminalInteractiveShell(t *testing.T) {
	bash := needCommand(t, "bash")
	needCommand(t, "perl")
	for name, args := range map[string][]string{
		"session leader": {finiteBin, "--", bash, "--norc", "--noprofile", "-i"},
		"login shell":    {"sh", "-c", "exec $FINITE -- bash --noprofile --norc -i -l"},
		"init": {
			needCommand(t, "unshare"), "--pid", "--fork", "--mount-proc", finiteBin,
			"--", bash, "--norc", "--noprofile", "-i",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := openConsole(t, args...)
			c.out.await(t, "prompt> ")
			c.write(`perl -e '$| = 1; $SIG{CONT} = sub { print "ba" . "ck\n" }; ` +
				`print "rea" . "dy\n"; sleep 1 while 1'` + "\n")
			c.out.await(t, "ready")
			c.write(ctrlZ)
			c.out.await(t, "Stopped")
			c.write("jobs; echo job'count' $(jobs | wc -l)\n")
			c.out.await(t, "jobcount 1")
			c.write("fg\n")
			c.out.await(t, "back") // fg resumes it when it has handed the terminal over
			c.write(ctrlC)
			c.out.await(t, "^C")
			c.write("echo sta'tus' $?\n")
			c.out.await(t, "status 130")
			if strings.Contains(c.out.String(), "no job control") {
				t.Errorf("output: %s", c.out)
			}
			c.write("exit 7\n")
			c.wait(7)
		})
	}
}

// A change of the terminal's size is told once: the terminal tells its foreground, where the
// command is and finite is not.
func TestTerminalSizeIsToldOnce(t *testing.T) {
	needCommand(t, "perl")
	c := openConsole(t, finiteBin, "--", "perl", "-e", `$| = 1;
$SIG{WINCH} = sub { $n++; print "size$n\n" }; $SIG{USR1} = sub { print "after $n\n"; exit 8 };
print "rea" . "dy\n"; select undef, undef, undef, 1 while 1`)
	c.out.await(t, "ready")
	for i := range 5 {
		if err := pty.Setsize(c.tty, &pty.Winsize{Rows: uint16(20 + i), Cols: 80}); err != nil {
			t.Fatal(err)
		}
		c.out.await(t, "size"+strconv.Itoa(i+1))
	}
	// What came in between would have come by now: signals are passed on in order.
	if err := c.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	c.out.await(t, "after 5")
	c.wait(8)
}
