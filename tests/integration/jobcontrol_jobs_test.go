package integration

import (
	"testing"

	"github.com/finite-init/finite/tests/internal/cage"
)

// Jobs that begin in the background.
var backgroundScenarios = []scenario{
	{name: "a background reader", play: func(s *session) {
		s.line("$F cat &")
		s.noticed("cat")
		s.line("jobs")
		s.line("jobs -l | grep -o Stop.*") // (tty input)
		s.write("fg\n")
		s.foreground("cat")
		s.write("word\n")
		s.await("word")
		s.write(ctrlD)
		s.prompt()
		s.said("0")
	}},
	{name: "a background writer with tostop", play: func(s *session) {
		s.line("stty tostop")
		s.line("$F sh -c 'echo word; exit 3' &")
		s.noticed("sh")
		s.line("jobs")
		s.line("jobs -l | grep -o Stop.*") // (tty output)
		s.write("fg\n")
		s.await("word")
		s.prompt()
		s.said("3")
	}},
	{name: "a quiet background job with tostop", play: func(s *session) {
		s.line("stty tostop")
		s.line("$F sh -c 'cat fifo >result; exit 3' &")
		s.running("cat")
		s.write("wait $!; echo rc=$?\n")
		s.feed("done\n")
		s.await("rc=3")
		s.prompt()
	}},
	{name: "an interactive shell in the background", needs: []string{"bash"}, play: func(s *session) {
		s.line("$F bash --norc --noprofile --noediting -i &")
		s.noticed("bash")
		s.line("jobs -l | grep -o Stop.*")
		s.line("fg")
		s.write("sleep 1000\n")
		s.foreground("sleep")
		s.write(ctrlC)
		s.prompt()
		s.line("exit 4")
		s.said("4")
	}},
	{name: "SIGKILL to a background job", play: func(s *session) {
		s.line("$F sleep 1000 &")
		s.running("sleep")
		s.kill("sleep")
		s.alone()
		s.line("")
	}},
	{name: "ctrl-c is not for the background", play: func(s *session) {
		s.line("$F sh -c 'cat fifo; exit 3' &")
		s.running("cat")
		s.write("sleep 1000\n")
		s.foreground("sleep")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
		s.write("wait %1; echo rc=$?\n")
		s.feed("done\n")
		s.await("rc=3")
		s.prompt()
	}},
	{name: "exit with a stopped job", exits: true, play: func(s *session) {
		s.line("$F cat &")
		s.noticed("cat")
		s.line("exit 0") // "There are stopped jobs."
		s.write("exit 0\n")
	}},
}

// Session leaders that are no shell, and groups whose shell is gone.
var sessionScenarios = []scenario{
	{name: "the command leads the session", leader: func(t *testing.T, front []string) []string {
		return append(front, needCommand(t, "cat"))
	}, play: func(s *session) {
		s.foreground("cat")
		s.write(ctrlZ + "word\n") // its group is orphaned: nobody could continue it
		s.await("word")
		s.write(ctrlC)
	}},
	{name: "a leader with the command in its group", leader: leaderOf("same"), play: func(s *session) {
		s.await("ready")
		s.foreground("cat")
		s.write(ctrlZ + "word\n")
		s.await("word")
		s.write(ctrlC)
		s.await("leader: ended with -2")
	}},
	{name: "a leader with a group for the command", leader: leaderOf("group"), play: func(s *session) {
		s.await("ready")
		s.foreground("cat")
		s.write(ctrlZ)
		s.await("leader: stopped by 20")
		s.running("cat")
		s.write("word\n")
		s.await("word")
		s.write(ctrlC)
		s.await("leader: ended with -2")
	}},
	{name: "the terminal of a shell hangs up", exits: true, play: func(s *session) {
		s.line("$F cat &")
		s.noticed("cat")
		s.write("$F sleep 1000\n")
		s.foreground("sleep")
		s.hangUp()
	}},
	{
		name: "the terminal of a command that leads the session hangs up",
		leader: func(t *testing.T, front []string) []string {
			return append(front, needCommand(t, "sh"), "-c",
				`trap "echo hung up >result; exit 3" HUP; echo ready; while :; do sleep 0.05; done`)
		}, play: func(s *session) {
			s.await("ready")
			s.hangUp()
			s.files += s.file("result")
		},
	},
	{name: "an orphaned background group", play: func(s *session) {
		s.line(`( $F sh -c 'echo $$ >pid; until test -e go; do sleep 0.05; done; ` +
			`cat </dev/tty 2>err; echo cat $? >result' & )`)
		s.file("pid")
		s.line("kill -TSTP $(cat pid); kill -TTIN $(cat pid)") // nobody could continue it
		s.touch("go")
		s.file("result")
		s.alone()
		s.line("cat err result") // EIO
	}},
	{name: "a background job whose shell has ended", exits: true, play: func(s *session) {
		s.line(`$F sh -c 'trap "" HUP; until test -e go; do sleep 0.05; done; ` +
			`cat </dev/tty; echo cat $?; echo >result' >err 2>&1 &`)
		s.write("exit 0\n")
		s.gone()
		s.touch("go")
		s.file("result")
		s.files += s.file("err")
	}},
}

// leaderOf is a session leader that starts a command in its own process group, or in a new one.
func leaderOf(group string) func(*testing.T, []string) []string {
	return func(t *testing.T, front []string) []string {
		args := append([]string{cage.Self, group}, front...)
		return append(args, needCommand(t, "sh"), "-c", "echo ready; exec cat")
	}
}
