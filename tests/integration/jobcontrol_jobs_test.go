package integration

import (
	"strings"
	"testing"
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
	{name: "kill -KILL of a background job", play: func(s *session) {
		s.line("$F sleep 1000 &")
		s.running("sleep")
		s.write("kill -KILL %1; wait $!; echo rc=$?\n")
		s.await("rc=137")
		s.prompt()
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

// Pipelines, in which the command is one of many.
var pipeScenarios = []scenario{
	{name: "the end of a pipeline", play: func(s *session) {
		s.line("seq 100 | $F tail -n 1")
		s.said("0")
	}},
	{name: "the beginning of a pipeline", play: func(s *session) {
		s.line("$F seq 3 | cat")
		s.said("0")
	}},
	{name: "a pager", play: func(s *session) {
		s.write(`$F sh -c 'seq 3; cat fifo' | sh -c 'read -r a; echo first $a; read -r key </dev/tty; echo key $key; cat'` + "\n")
		s.await("first 1")
		s.running("cat")
		s.write("q\n")
		s.await("key q")
		s.feed("late\n")
		s.await("late")
		s.prompt()
		s.said("0")
	}},
	{name: "a pager of a command that has ended", play: func(s *session) {
		s.write(`$F seq 100 | sh -c 'n=$(wc -l); echo $n lines; stty tostop -tostop; read -r key </dev/tty; echo key $key'` + "\n")
		s.await("100 lines")
		s.write("q\n")
		s.await("key q")
		s.prompt()
		s.said("0")
	}},
	{name: "a password prompt beside it", play: func(s *session) {
		s.write(`sh -c 'until test -e up; do sleep 0.05; done; printf password: >/dev/tty; read -r x </dev/tty; echo got $x' | $F sh -c ': >up; exec cat'` + "\n")
		s.await("password:")
		s.write("secret\n")
		s.await("got secret")
		s.prompt()
		s.said("0")
	}},
	{name: "ctrl-c ends the whole pipeline", play: func(s *session) {
		s.write("sleep 1000 | $F tail -f /dev/null\n")
		s.foreground("tail")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
	}},
	{name: "ctrl-c ends the whole pipeline behind it", play: func(s *session) {
		s.write("$F sleep 1000 | tail -f /dev/null\n")
		s.foreground("sleep")
		s.foreground("tail")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
	}},
	{name: "tostop in a pipeline", play: func(s *session) {
		s.line("stty tostop")
		s.write("$F sh -c 'echo x; cat fifo' | tee f\n")
		s.await("x")
		s.feed("y\n")
		s.await("y")
		s.prompt()
		s.said("0")
		s.line("cat f")
	}},
}

// Scripts, and programs between the shell and the command.
var scriptScenarios = []scenario{
	{name: "ctrl-c ends a loop", play: func(s *session) {
		s.line(`echo 'for i in 1 2 3; do echo loop $i; $F sleep 1000; done; echo end' >loop`)
		s.write("$SHELL_UNDER_TEST ./loop\n")
		s.await("loop 1")
		s.foreground("sleep")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
	}},
	// bash ignores QUIT, so it says what the command died of.
	{name: "ctrl-backslash in a script", play: func(s *session) {
		s.line(`echo 'echo ready; $F sleep 1000; echo rc=$?' >script`)
		s.write("$SHELL_UNDER_TEST ./script\n")
		s.await("ready")
		s.foreground("sleep")
		s.write(ctrlBackslash)
		s.prompt()
		s.line("echo rc=$?")
	}},
	// dash ends at once, whatever the command does.
	{name: "a loop goes on when the command deals with ctrl-c", shells: []string{"bash"}, play: func(s *session) {
		s.line(`echo 'for i in 1 2; do $F sh -c "trap \"echo trapped; exit 0\" INT; echo ready; while :; do sleep 0.05; done"; echo rc=$?; done; echo end' >loop`)
		s.write("$SHELL_UNDER_TEST ./loop\n")
		for range 2 {
			s.await("ready")
			s.write(ctrlC)
			s.await("trapped")
			s.await("rc=0")
		}
		s.await("end")
		s.prompt()
		s.said("0")
	}},
	{name: "a script in front of which it stands", play: func(s *session) {
		s.line(`echo 'echo ready; sleep 1000; echo end' >script`)
		s.write("$F $SHELL_UNDER_TEST ./script\n")
		s.await("ready")
		s.foreground("sleep")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("sleep")
		s.write("fg\n")
		s.foreground("sleep")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
	}},
	{name: "setsid", needs: []string{"setsid"}, play: func(s *session) {
		s.line(`setsid -w $F sh -c 'echo in; sh -c ": </dev/tty"; exit 4'`)
		s.said("4")
		s.line(`setsid $F sh -c 'cat fifo >result' </dev/null`)
		s.feed("done\n")
		s.files += s.file("result")
	}},
	{name: "script", needs: []string{"script"}, play: func(s *session) {
		s.write(`script -qec "$F sh -c 'echo ready; read -r x; echo got \$x; exit 5'" /dev/null` + "\n")
		s.await("ready")
		s.write("word\n")
		s.await("got word")
		s.prompt()
		s.said("5")
		s.write(`script -qec "$F sh -c 'echo ready; exec sleep 1000'" /dev/null` + "\n")
		s.await("ready")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
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
	{name: "an orphaned background group", play: func(s *session) {
		s.line(`( $F sh -c 'echo $$ >pid; until test -e go; do sleep 0.05; done; cat </dev/tty 2>err; echo cat $? >result' & )`)
		s.file("pid")
		s.line("kill -TSTP $(cat pid); kill -TTIN $(cat pid)") // nobody could continue it
		s.touch("go")
		s.file("result")
		s.alone()
		s.line("cat err result") // EIO
	}},
	{name: "a background job whose shell has ended", exits: true, play: func(s *session) {
		s.line(`$F sh -c 'trap "" HUP; until test -e go; do sleep 0.05; done; cat </dev/tty; echo cat $?; echo >result' >err 2>&1 &`)
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
		args := append([]string{testBinary(t), group}, front...)
		return append(args, needCommand(t, "sh"), "-c", "echo ready; exec cat")
	}
}

// Deadlines hold whether the job is stopped or not. GNU timeout is the measure: it leaves the
// caller's group, so it is never stopped with its command.
var deadlineScenarios = []scenario{
	{name: "a deadline of a stopped reader", needs: []string{"timeout"}, play: func(s *session) {
		s.line("$D cat &")
		s.alone()
		s.line("")
	}},
	{name: "a deadline of a stopped writer", needs: []string{"timeout"}, play: func(s *session) {
		s.line("stty tostop")
		s.line("$D sh -c 'echo word' &")
		s.alone()
		s.line("")
	}},
	{name: "a deadline in the foreground", needs: []string{"timeout"}, play: func(s *session) {
		s.write("$D sleep 1000\n")
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
			s := openSession(t, shell, true, nil)
			s.prompt()
			s.write("$D cat\n")
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
