package integration

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// outcome is what a user of the terminal sees.
type outcome struct {
	transcript string
	status     int // of the session leader
}

// scenario is something that a user does at a terminal.
type scenario struct {
	name   string
	shells []string // nil: bash and dash
	leader func(t *testing.T, front []string) []string
	needs  []string // commands
	exits  bool     // the steps end the shell
	play   func(s *session)
}

// Every scenario is played bare and with finite. Nobody at the terminal must see a difference.
func TestJobControl(t *testing.T) {
	for _, some := range [][]scenario{
		keyScenarios, stopScenarios, backgroundScenarios, pipeScenarios, scriptScenarios, sessionScenarios,
	} {
		playAll(t, some)
	}
}

// With a PID namespace it is the same: the command stays in the caller's process group. That group
// has no number in the namespace, so a shell in it takes itself for the foreground: no scenario
// with one.
func TestJobControlInNamespaces(t *testing.T) {
	needRoot(t)
	for _, some := range [][]scenario{
		keyScenarios, stopScenarios, backgroundScenarios, pipeScenarios, deadlineScenarios,
	} {
		some = slices.DeleteFunc(slices.Clone(some), func(s scenario) bool {
			return strings.HasPrefix(s.name, "an interactive shell")
		})
		playAll(t, some, "--unshare", "pid,mount")
	}
}

func playAll(t *testing.T, some []scenario, options ...string) {
	for _, s := range some {
		t.Run(s.name, func(t *testing.T) {
			for _, shell := range s.on() {
				t.Run(shell, func(t *testing.T) { s.compare(t, shell, options) })
			}
		})
	}
}

func (s scenario) on() []string {
	switch {
	case s.leader != nil:
		return []string{"leader"}
	case s.shells != nil:
		return s.shells
	}
	return []string{"bash", "dash"}
}

func (s scenario) compare(t *testing.T, shell string, options []string) {
	t.Helper()
	for _, name := range s.needs {
		needCommand(t, name)
	}
	if s.leader == nil {
		needCommand(t, shell)
	}
	var bare, with outcome
	if !t.Run("bare", func(t *testing.T) { bare = s.run(t, shell, false, nil) }) || bare == (outcome{}) {
		return
	}
	if t.Run("finite", func(t *testing.T) { with = s.run(t, shell, true, options) }) && bare != with {
		t.Errorf("bare, status %d:\n%s\nwith finite, status %d:\n%s",
			bare.status, bare.transcript, with.status, with.transcript)
	}
}

func (s scenario) run(t *testing.T, shell string, with bool, options []string) outcome {
	t.Helper()
	j := openSession(t, shell, with, options, s.leader)
	if s.leader == nil {
		j.prompt()
	}
	s.play(j)
	if s.leader == nil && !s.exits {
		j.alone()
		j.write("exit 0\n")
	}
	return j.end()
}

var somePID = regexp.MustCompile(`(?m)(^\[\d+\] |: line \d+: +)\d+( |$)`)

// normalise takes out what differs from run to run: the prompts, and the PIDs that a shell tells.
func normalise(text string) string {
	text = strings.NewReplacer("\r", "", promptText, "").Replace(text)
	return somePID.ReplaceAllString(text, "${1}PID$2")
}

// Deadlines hold whether the job is stopped or not. GNU timeout is the measure: it leaves the
// caller's group, so it is never stopped with its command. What finite says goes to a file.
var deadlineScenarios = []scenario{
	{name: "a deadline of a stopped reader", needs: []string{"timeout"}, play: func(s *session) {
		s.line("$D cat 2>said &")
		s.alone()
		s.line("")
	}},
	{name: "a deadline of a stopped writer", needs: []string{"timeout"}, play: func(s *session) {
		s.line("stty tostop")
		s.line("$D sh -c 'echo word' 2>said &")
		s.alone()
		s.line("")
	}},
	{name: "a deadline in the foreground", needs: []string{"timeout"}, play: func(s *session) {
		s.write("$D sleep 1000 2>said\n")
		s.prompt()
		s.said("124")
	}},
}

func TestJobControlDeadline(t *testing.T) { playAll(t, deadlineScenarios) }

// Ctrl-Z does not put the end off.
func TestJobControlDeadlineAfterCtrlZ(t *testing.T) {
	for _, shell := range []string{"bash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			needCommand(t, shell)
			s := openSession(t, shell, true, nil, nil)
			s.prompt()
			s.write(finiteBin + " -t 3 -k 1 -- cat\n")
			s.foreground("cat")
			s.write(ctrlZ)
			s.prompt()
			s.alone()
			s.line("") // "Exit 124", "Done(124)"
			s.write("exit 0\n")
			if got := s.end(); got.status != 0 || !strings.Contains(got.transcript, "124") {
				t.Errorf("status %d:\n%s", got.status, got.transcript)
			}
		})
	}
}
