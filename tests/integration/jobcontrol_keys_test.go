package integration

// Keys for a command in the foreground.
var keyScenarios = []scenario{
	{name: "ctrl-c", play: func(s *session) {
		s.write("$F sh -c 'echo ready; exec sleep 1000'\n")
		s.await("ready")
		s.foreground("sleep")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
	}},
	{name: "ctrl-backslash", play: func(s *session) {
		s.write("$F sh -c 'echo ready; exec sleep 1000'\n")
		s.await("ready")
		s.foreground("sleep")
		s.write(ctrlBackslash)
		s.prompt()
		s.said("131")
	}},
	{name: "ctrl-c is trapped", play: func(s *session) {
		s.write(`$F sh -c 'trap "echo trapped" INT; echo ready; until test -e quit; do sleep 0.05; done; ` +
			`echo end; exit 7'` + "\n")
		s.await("ready")
		s.write(ctrlC)
		s.await("trapped")
		s.write(ctrlC)
		s.await("trapped")
		s.touch("quit")
		s.await("end")
		s.prompt()
		s.said("7")
	}},
	{name: "ctrl-z after a trapped ctrl-c", play: func(s *session) {
		const script = `$| = 1; $SIG{INT} = sub { print "trapped\n" }; print "ready\n"; ` +
			`until (-e "quit") { select undef, undef, undef, 0.05 } exit 7`
		s.write("$F perl -e '" + script + "'\n")
		s.await("ready")
		s.write(ctrlC)
		s.await("trapped")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("perl")
		s.said("148")
		s.touch("quit")
		s.write("fg\n")
		s.prompt()
		s.said("7")
	}},
	{name: "ctrl-c is ignored", play: func(s *session) {
		s.write(`$F sh -c 'trap "" INT QUIT TSTP; echo ready; exec cat'` + "\n")
		s.await("ready")
		s.foreground("cat")
		s.write(ctrlC + ctrlBackslash + ctrlZ + "word\n")
		s.await("word")
		s.write(ctrlD)
		s.prompt()
		s.said("0")
	}},
	{name: "input", play: func(s *session) {
		s.write("$F cat\n")
		s.foreground("cat")
		s.write("word\n")
		s.await("word")
		s.write(ctrlD)
		s.prompt()
		s.said("0")
	}},
	{name: "terminal modes", play: func(s *session) {
		s.line("$F stty tostop; stty -a | grep -o '.tostop'")
		s.line("$F stty -tostop; stty -a | grep -o '.tostop'")
	}},
}

// Stopping and continuing.
var stopScenarios = []scenario{
	{name: "ctrl-z and fg", play: func(s *session) {
		s.write("$F cat\n")
		s.foreground("cat")
		s.write("one\n")
		s.await("one")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("cat")
		s.said("148") // 128 + SIGTSTP
		s.line("jobs")
		s.line("jobs -l | grep -o Stop.*")
		s.write("fg\n")
		s.foreground("cat")
		s.write("two\n")
		s.await("two")
		s.write(ctrlD)
		s.prompt()
		s.said("0")
	}},
	{name: "ctrl-z again and again", play: func(s *session) {
		s.write("$F cat\n")
		for range 10 {
			s.foreground("cat")
			s.write(ctrlZ)
			s.prompt()
			s.stopped("cat")
			s.write("fg\n")
		}
		s.foreground("cat")
		s.write("word\n")
		s.await("word")
		s.write(ctrlC)
		s.prompt()
		s.said("130")
	}},
	{name: "ctrl-z and bg", play: func(s *session) {
		s.write("$F sh -c 'cat fifo; exit 3'\n")
		s.foreground("cat")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("cat")
		s.line("bg")
		s.running("cat")
		s.line("jobs")
		s.write("wait %1; echo rc=$?\n")
		s.feed("done\n")
		s.await("done")
		s.await("rc=3")
		s.prompt()
	}},
	{name: "ctrl-z of a pipeline", play: func(s *session) {
		s.write("cat fifo | $F tail -n +1 | tee f\n")
		s.foreground("cat", "tail", "tee")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("tail")
		s.line("jobs")
		s.write("fg\n")
		s.running("tail")
		s.feed("done\n")
		s.await("done")
		s.prompt()
		s.said("0")
	}},
	{name: "ctrl-z is handled", needs: []string{"perl"}, play: func(s *session) {
		// As editors do it.
		s.write(`$F perl -e '$| = 1; $SIG{TSTP} = sub { print "saving\n"; kill STOP => $$; print "drawing\n" }; ` +
			`print "ready\n"; $_ = <STDIN>; print "got $_"; exit 6'` + "\n")
		s.await("ready")
		s.foreground("perl")
		s.write(ctrlZ)
		s.await("saving")
		s.prompt()
		s.stopped("perl")
		s.said("147") // 128 + SIGSTOP
		s.line("jobs")
		s.write("fg\n")
		s.await("drawing")
		s.write("word\n")
		s.await("got word")
		s.prompt()
		s.said("6")
	}},
	{name: "a command stops itself", play: func(s *session) {
		s.line(`$F sh -c 'kill -STOP $$; echo on; kill -TSTP $$; echo off; exit 3'`)
		s.stopped("sh")
		s.said("147")
		s.write("fg\n")
		s.await("on")
		s.prompt()
		s.stopped("sh")
		s.said("148")
		s.line("jobs")
		s.write("fg\n")
		s.await("off")
		s.prompt()
		s.said("3")
	}},
	{name: "kill -STOP and kill -CONT of a job", play: func(s *session) {
		s.line("$F cat fifo &")
		s.running("cat")
		s.line("kill -STOP %1")
		s.noticed("cat")
		s.line("jobs")
		s.line("kill -CONT %1")
		s.running("cat")
		s.line("jobs")
		s.write("fg\n")
		s.foreground("cat")
		s.feed("done\n")
		s.await("done")
		s.prompt()
		s.said("0")
	}},
	{name: "a command is continued once", needs: []string{"perl"}, play: func(s *session) {
		s.write(`$F perl -e '$| = 1; $SIG{CONT} = sub { print "back\n" }; ` +
			`print "ready\n"; $_ = <STDIN>; print "got $_"; exit 6'` + "\n")
		s.await("ready")
		s.foreground("perl")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("perl")
		s.write("fg\n")
		s.await("back")
		s.write("word\n")
		s.await("got word")
		s.prompt()
		s.said("6")
	}},
	{name: "SIGKILL to a stopped job", play: func(s *session) {
		s.write("$F cat\n")
		s.foreground("cat")
		s.write(ctrlZ)
		s.prompt()
		s.stopped("cat")
		s.kill("cat") // not the shell: it speaks of a stopped job that it kills now and then once more
		s.alone()
		s.line("")
		s.line("jobs")
	}},
	{name: "an interactive shell inside", needs: []string{"bash"}, play: func(s *session) {
		s.line("$F bash --norc --noprofile --noediting -i")
		s.write("sleep 1000\n")
		s.foreground("sleep")
		s.write(ctrlZ)
		s.prompt()
		s.line("jobs")
		s.write("fg\n")
		s.foreground("sleep")
		s.write(ctrlC)
		s.prompt()
		s.line("exit 4")
		s.said("4")
	}},
	{name: "an interactive shell inside suspends itself", needs: []string{"bash"}, play: func(s *session) {
		s.line("$F bash --norc --noprofile --noediting -i")
		s.line("suspend")
		s.said("147")
		s.line("jobs")
		s.line("fg")
		s.line("echo here again")
		s.line("exit 4")
		s.said("4")
	}},
	{name: "a command stops its group", needs: []string{"perl"}, play: func(s *session) {
		for range 5 { // the last continuation and the end come close together
			s.line(`$F perl -e '$| = 1; kill TSTP => 0; print "on\n"; kill TSTP => 0; print "off\n"; exit 3'`)
			s.stopped("perl")
			s.said("148")
			s.write("fg\n")
			s.await("on")
			s.prompt()
			s.stopped("perl")
			s.write("fg\n")
			s.await("off")
			s.prompt()
			s.said("3")
		}
	}},
}
