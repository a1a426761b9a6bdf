package integration

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

const (
	ctrlD         = "\x04"
	ctrlBackslash = "\x1c"
	promptText    = "prompt> "
)

// session is a session leader on a terminal of its own, in a cage. Its methods are the steps of a
// scenario. They wait for what must come, and fail the test if it does not.
type session struct {
	t      *testing.T
	with   bool // with finite
	shell  string
	cage   *caged
	leader int
	dir    string // the working directory, with a fifo
	tty    *os.File
	out    *lines
	files  string // what files held
	seen   int    // the offset in the output behind what was waited for
	hungUp chan struct{}
}

// openSession starts the leader: a shell, or what leader makes of the words that stand in front of
// a command. The terminal does not echo, so that the transcript is what the processes say. In a
// shell $F stands in front of a command, and $D in front of one that has a second.
func openSession(
	t *testing.T, shell string, with bool, options []string, leader func(t *testing.T, front []string) []string,
) *session {
	t.Helper()
	s := &session{t: t, with: with, shell: shell, dir: t.TempDir(), out: newLines(), hungUp: make(chan struct{})}
	var front []string
	deadline := []string{"timeout", "1"}
	if with {
		front = slices.Concat([]string{finiteBin}, options, []string{"--"})
		deadline = slices.Concat([]string{finiteBin}, options, []string{"-t", "1", "-k", "1", "--"})
	}
	var args []string
	switch {
	case leader != nil:
		args = leader(t, front)
	case shell == "bash":
		args = []string{needCommand(t, shell), "--norc", "--noprofile", "--noediting", "-i"}
	default:
		args = []string{needCommand(t, shell), "-i"}
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LC_ALL=C", "TERM=dumb", "PS1=" + promptText, "PS2=",
		"SHELL_UNDER_TEST=" + shell, "F=" + strings.Join(front, " "), "D=" + strings.Join(deadline, " "),
		cage.Plays("leader"), "GORACE=atexit_sleep_ms=0",
	}
	if err := unix.Mkfifo(filepath.Join(s.dir, "fifo"), 0o666); err != nil {
		t.Fatal(err)
	}
	tty, tts := openTerminal(t)
	defer tts.Close()
	s.tty = tty
	s.cage = startSpec(t, cageSpec{Mode: asConsole, Args: args, Env: env}, func(cmd *exec.Cmd) {
		cmd.Dir = s.dir
		cmd.ExtraFiles = append(cmd.ExtraFiles, tts)
	})
	t.Cleanup(func() { // before the cage is killed
		if t.Failed() {
			t.Logf("processes:\n%s\nstderr of the cage: %s", list(s.everybody()), s.cage.stderr)
		}
	})
	go func() {
		defer close(s.hungUp)
		_, _ = io.Copy(s.out, tty)
		s.out.close()
	}()
	s.until("the session leader", func(all []process) bool {
		for _, p := range all {
			if p.parent == s.cage.Process.Pid {
				s.leader = p.pid
			}
		}
		return s.leader != 0
	})
	return s
}

// write types.
func (s *session) write(text string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// hangUp takes the terminal away.
func (s *session) hangUp() {
	s.t.Helper()
	if err := s.tty.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// await waits for output behind what was waited for before.
func (s *session) await(text string) {
	s.t.Helper()
	s.seen = s.out.awaitFrom(s.t, s.seen, text)
}

func (s *session) prompt() {
	s.t.Helper()
	s.await(promptText)
}

// line types a line for the shell. The shell prompts again when it is done with it.
func (s *session) line(text string) {
	s.t.Helper()
	s.write(text + "\n")
	s.prompt()
}

// feed writes to the fifo once somebody reads it, and closes it.
func (s *session) feed(text string) {
	s.t.Helper()
	var f *os.File
	s.until("a reader of the fifo", func([]process) bool {
		var err error
		f, err = os.OpenFile(filepath.Join(s.dir, "fifo"), os.O_WRONLY|unix.O_NONBLOCK, 0)
		return err == nil
	})
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// kill kills the process group of a command.
func (s *session) kill(name string) {
	s.t.Helper()
	for _, p := range s.everybody() {
		if p.comm == name {
			if err := unix.Kill(-p.group, unix.SIGKILL); err != nil {
				s.t.Fatal(err)
			}
			return
		}
	}
	s.t.Fatalf("there is no %s", name)
}

// touch makes a file that a command looks for.
func (s *session) touch(name string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), nil, 0o666); err != nil {
		s.t.Fatal(err)
	}
}

// file waits for a file that holds a whole line, and returns what is in it.
func (s *session) file(name string) string {
	s.t.Helper()
	var text []byte
	s.until("the file "+name, func([]process) bool {
		text, _ = os.ReadFile(filepath.Join(s.dir, name))
		return strings.HasSuffix(string(text), "\n")
	})
	return string(text)
}

func (s *session) everybody() []process { return descendants(s.cage.Process.Pid) }

// until waits until the processes of the session are as they must be.
func (s *session) until(what string, ok func([]process) bool) {
	s.t.Helper()
	for limit := time.Now().Add(patience()); !ok(s.everybody()); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			s.t.Fatalf("waited in vain for: %s\noutput: %s", what, s.out)
		}
	}
}

// foreground waits until the terminal's foreground has processes of all these names, which sleep:
// they have nothing left to do but to wait.
func (s *session) foreground(names ...string) {
	s.t.Helper()
	for _, name := range names {
		s.until(name+" in the foreground", func(all []process) bool {
			for _, p := range all {
				if p.comm == name && p.group == p.foreground && p.state == 'S' {
					return true
				}
			}
			return false
		})
	}
}

// stopped waits until a command is stopped, and so is whatever the shell has started.
func (s *session) stopped(name string) {
	s.t.Helper()
	s.until(name+" stopped", func(all []process) bool {
		found := false
		for _, p := range all {
			if p.parent == s.leader && p.state != 'T' && p.state != 'Z' {
				return false
			}
			found = found || p.comm == name && p.state == 'T'
		}
		return found
	})
}

// noticed waits until a command is stopped and the shell has said so. A shell speaks of a job in
// the background only before it prompts.
func (s *session) noticed(name string) {
	s.t.Helper()
	s.stopped(name)
	s.line("")
}

// running waits until a command runs, and so does whatever the shell has started.
func (s *session) running(name string) {
	s.t.Helper()
	s.until(name+" running", func(all []process) bool {
		found := false
		for _, p := range all {
			if p.state == 'T' {
				return false
			}
			found = found || p.comm == name
		}
		return found
	})
}

// alone waits until nobody but the session leader is there. Zombies are its to reap.
func (s *session) alone() {
	s.t.Helper()
	s.until("nobody left but the session leader", func(all []process) bool {
		for _, p := range all {
			if p.pid != s.leader && p.state != 'Z' {
				return false
			}
		}
		return true
	})
}

// gone waits for the end of the session leader.
func (s *session) gone() {
	s.t.Helper()
	s.until("the end of the session leader", func(all []process) bool {
		for _, p := range all {
			if p.pid == s.leader {
				return false
			}
		}
		return true
	})
}

// end waits for the end of the session leader and of everybody else.
func (s *session) end() outcome {
	s.t.Helper()
	var report cageReport
	if err := s.cage.Hear(&report, patience()); err != nil {
		s.t.Fatalf("the session leader did not end: %v\noutput: %s", err, s.out)
	}
	s.until("nobody left", func(all []process) bool { return len(all) == 0 })
	select {
	case <-s.hungUp: // what was said has been read
	case <-time.After(patience()):
		s.t.Fatal("somebody holds the terminal")
	}
	return outcome{transcript: normalise(s.out.String()) + s.files, status: report.Status}
}

// said has the shell say how the last command has ended.
func (s *session) said(rc string) {
	s.t.Helper()
	s.write("echo rc=$?\n")
	s.await("rc=" + rc)
	s.prompt()
}

func list(all []process) string {
	var b strings.Builder
	for _, p := range all {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}
