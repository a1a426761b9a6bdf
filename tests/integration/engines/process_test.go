package engines

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// process is a command that was started and whose output can be waited for.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Closer
	pipe   *os.File
	lines  *bufio.Reader
	stdout strings.Builder
	stderr bytes.Buffer
	ended  *outcome
}

// outcome is how a process ended.
type outcome struct {
	status         int // -1 if a signal ended it
	stdout, stderr string
}

// start starts cmd with a stdin that stays open until the test closes it. What the test does not
// wait for is killed at its end.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	p.pipe, p.lines = reader, bufio.NewReader(reader)
	cmd.Stdout, cmd.Stderr = writer, &p.stderr
	cmd.WaitDelay = testkit.Patience()
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ended == nil {
			_ = cmd.Process.Kill()
			p.wait()
		}
	})
	if err := reader.SetReadDeadline(time.Now().Add(testkit.Patience())); err != nil {
		t.Fatal(err)
	}
	return p
}

// await reads stdout until a line says want.
func (p *process) await(want string) {
	p.t.Helper()
	for {
		line, err := p.lines.ReadString('\n')
		p.stdout.WriteString(line)
		if strings.TrimSpace(line) == want {
			return
		}
		if err != nil {
			_ = p.cmd.Process.Kill()
			out := p.wait()
			p.t.Fatalf("%v before %q was printed; %v", err, want, out)
		}
	}
}

// wait reads what is still to come and returns how the process ended.
func (p *process) wait() outcome {
	p.t.Helper()
	if p.ended != nil {
		return *p.ended
	}
	rest, err := io.ReadAll(p.lines)
	p.stdout.Write(rest)
	if err != nil {
		_ = p.cmd.Process.Kill()
		p.t.Errorf("%v hangs: %v", p, err)
	}
	p.stdin.Close()
	_ = p.cmd.Wait() // the status says it
	p.pipe.Close()
	p.ended = &outcome{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
	p.t.Logf("%s: status %d, stderr:\n%s", p, p.ended.status, p.ended.stderr)
	return *p.ended
}

// String is the beginning of the command.
func (p *process) String() string {
	line, _, _ := strings.Cut(strings.Join(p.cmd.Args, " "), "\n")
	return line[:min(len(line), 200)]
}

// check compares a status.
func (o outcome) check(t *testing.T, status int) {
	t.Helper()
	if o.status != status {
		t.Errorf("status %d, want %d\nstdout: %sstderr: %s", o.status, status, o.stdout, o.stderr)
	}
}

// says checks that stderr holds each of the words, in this order.
func (o outcome) says(t *testing.T, words ...string) {
	t.Helper()
	rest := o.stderr
	for _, word := range words {
		_, after, found := strings.Cut(rest, word)
		if !found {
			t.Errorf("stderr does not say %q here: %q", word, rest)
			return
		}
		rest = after
	}
}

// silent checks that finite had nothing to say.
func (o outcome) silent(t *testing.T) {
	t.Helper()
	if o.stderr != "" {
		t.Errorf("unexpected on stderr: %s", o.stderr)
	}
}

// prints checks that stdout holds the line n times.
func (o outcome) prints(t *testing.T, line string, n int) {
	t.Helper()
	found := 0
	for l := range strings.Lines(o.stdout) {
		if strings.TrimSpace(l) == line {
			found++
		}
	}
	if found != n {
		t.Errorf("%q was printed %d times, want %d; stdout:\n%s", line, found, n, o.stdout)
	}
}
