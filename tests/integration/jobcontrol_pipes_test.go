package integration

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
		s.write(`$F sh -c 'seq 3; cat fifo' | sh -c 'read -r a; echo first $a; ` +
			`read -r key </dev/tty; echo key $key; cat'` + "\n")
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
		s.write(`$F seq 100 | sh -c 'n=$(wc -l); echo $n lines; stty tostop -tostop; ` +
			`read -r key </dev/tty; echo key $key'` + "\n")
		s.await("100 lines")
		s.write("q\n")
		s.await("key q")
		s.prompt()
		s.said("0")
	}},
	{name: "a password prompt beside it", play: func(s *session) {
		s.write(`sh -c 'until test -e up; do sleep 0.05; done; printf password: >/dev/tty; ` +
			`read -r x </dev/tty; echo got $x' | $F sh -c ': >up; exec cat'` + "\n")
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
		s.foreground(s.shell, "sleep")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
	}},
	// bash ignores QUIT, so it says what the command died of.
	{name: "ctrl-backslash in a script", play: func(s *session) {
		s.line(`echo 'echo ready; $F sleep 1000; echo rc=$?' >script`)
		s.write("$SHELL_UNDER_TEST ./script\n")
		s.await("ready")
		s.foreground(s.shell, "sleep")
		s.write(ctrlBackslash)
		s.prompt()
		s.line("echo rc=$?")
	}},
	// dash ends at once, whatever the command does.
	{
		name: "a loop goes on when the command deals with ctrl-c", shells: []string{"bash"},
		play: func(s *session) {
			s.line(`echo 'for i in 1 2; do $F sh -c "trap \"echo trapped; exit 0\" INT; ` +
				`echo ready; while :; do sleep 0.05; done"; echo rc=$?; done; echo end' >loop`)
			s.write("$SHELL_UNDER_TEST ./loop\n")
			for range 2 {
				s.await("ready")
				s.foreground("bash") // it waits for the command; before that, Ctrl-C would end it
				s.write(ctrlC)
				s.await("trapped")
				s.await("rc=0")
			}
			s.await("end")
			s.prompt()
			s.said("0")
		},
	},
	{name: "a script in front of which it stands", play: func(s *session) {
		s.line(`echo 'echo ready; sleep 1000; echo end' >script`)
		s.write("$F $SHELL_UNDER_TEST ./script\n")
		s.await("ready")
		s.foreground(s.shell, "sleep")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("sleep")
		s.write("fg\n")
		s.foreground(s.shell, "sleep")
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
