package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// script returns a file of testdata where every user can read it.
func script(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(finiteBin), name)
	if err := copyFile(path, filepath.Join("testdata", name)); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkStatuses runs finite with `sh -c SCRIPT` for many values of $i, in one cage, and checks that
// it exits with $want. SCRIPT says how the command ends.
func checkStatuses(t *testing.T, m mode, values, want, script string) {
	t.Helper()
	front := finiteBin
	if m == asInit {
		needCommand(t, "unshare")
		front = "unshare --pid --fork --mount-proc " + finiteBin
	}
	loop := `for i in ` + values + `; do want=$((` + want + `))
` + front + ` -- sh -c '` + script + `' sh $i; got=$?
test $got = $want || echo "for $i: status $got, want $want"; done; echo checked`
	r := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{"/bin/sh", "-c", loop}}, nil).wait()
	r.want(t, 0)
	if r.stdout != "checked\n" || r.stderr != "" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}

func TestExitStatus(t *testing.T) {
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		checkStatuses(t, m, "$(seq 0 255)", "i", "exit $1")
	})
}

func TestFatalSignals(t *testing.T) {
	var fatal strings.Builder
	for sig := unix.Signal(1); sig <= 64; sig++ {
		switch sig {
		case unix.SIGCHLD, unix.SIGCONT, unix.SIGURG, unix.SIGWINCH: // ignored by default
		case unix.SIGSTOP, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU: // stop
		case 32, 33: // the C library's, which a test binary with the race detector is linked with, and blocks them
		default:
			fatal.WriteString(strconv.Itoa(int(sig)) + " ")
		}
	}
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		checkStatuses(t, m, fatal.String(), "128 + i", "kill -$1 $$; sleep 1000")
	})
}

func TestStartFailures(t *testing.T) {
	dir := filepath.Dir(finiteBin)
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("exit 9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	noInterpreter := filepath.Join(dir, "no-interpreter")
	if err := os.WriteFile(noInterpreter, []byte("#!/no/such/file\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	noMagic := filepath.Join(dir, "no-magic")
	if err := os.WriteFile(noMagic, []byte("exit 9\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		stderr string
	}{
		{"not in PATH", []string{"no-such-command"}, 127, `cannot run "no-such-command": no such file`},
		{"no such path", []string{"/no/such"}, 127, `cannot run "/no/such": no such file`},
		{"empty", []string{"--", ""}, 127, `cannot run ""`},
		{"not executable", []string{plain}, 126, "permission denied"},
		{"a directory", []string{"/tmp"}, 126, "permission denied"},
		{"interpreter is missing", []string{noInterpreter}, 127, "no such file"},
		{"a script without an interpreter line", []string{noMagic}, 9, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
				r := run(t, m, tt.args...)
				r.want(t, tt.status)
				if !strings.Contains(r.stderr, tt.stderr) || strings.Count(r.stderr, "\n") > 1 {
					t.Errorf("stderr: %q, want one line with %q", r.stderr, tt.stderr)
				}
			})
		})
	}
}

// 200 escapees, half of them deaf, and lines of descent that fork and exit as fast as they can, are
// gone when finite returns.
func TestEscapeesAreGone(t *testing.T) {
	needCommand(t, "perl")
	tree := script(t, "tree.pl")
	forModes(t, allModes, func(t *testing.T, m mode) {
		var r result
		complete(t, time.Second, func(deadline string) bool {
			r = run(t, m, "--timeout", deadline, "--grace", stretch("500ms"),
				"--give-up", stretch("5s"), "--", "perl", tree, "MARK", "200", "4")
			r.want(t, 124)
			return strings.Contains(r.stdout, "ready")
		})
		if !strings.Contains(r.stderr, "the grace time is over") {
			t.Errorf("nobody was deaf: %s", r.stderr)
		}
		if strings.Contains(r.stderr, "gave up") {
			t.Errorf("gave up: %s", r.stderr)
		}
	})
}

// The same with no grace, so that everything is alive when the kill begins, and many lines.
func TestFastForkersAreGone(t *testing.T) {
	needCommand(t, "perl")
	tree := script(t, "tree.pl")
	forModes(t, allModes, func(t *testing.T, m mode) {
		r := run(t, m, "--timeout", stretch("1s"), "--grace", "0", "--give-up", stretch("30s"),
			"--", "perl", tree, "MARK", "20", "16")
		r.want(t, 124)
		if strings.Contains(r.stderr, "gave up") {
			t.Errorf("gave up: %s", r.stderr)
		}
	})
}

// The same when it is not a deadline: the command ends by itself, and there never is a moment in
// which no orphan waits to be reaped.
func TestFastForkersThatWereLeft(t *testing.T) {
	needCommand(t, "perl")
	const storm = `$SIG{TERM} = "IGNORE"; for (1 .. 16) { next if fork; ` +
		`while (1) { my $p = fork; exit if !defined $p || $p } } exit 5`
	forModes(t, allModes, func(t *testing.T, m mode) {
		for _, policy := range []string{"kill", "terminate"} {
			r := run(t, m, "--leftovers", policy, "--grace", stretch("300ms"),
				"--give-up", stretch("30s"), "--", "perl", "-e", storm)
			r.want(t, 5)
			if strings.Contains(r.stderr, "gave up") {
				t.Errorf("gave up: %s", r.stderr)
			}
		}
	})
}

// A /proc that belongs to another PID namespace shows strangers under the numbers of one's own.
// Nobody is signalled by it, and the tree ends all the same.
func TestForeignProcIsNotBelieved(t *testing.T) {
	needCommand(t, "unshare")
	// finite is the second process in the inner namespace, and some hundred strangers have the
	// numbers that its descendants have outside.
	const inner = `"$@" -t 1s -k 100ms -- sh -c 'trap : TERM; (trap "" TERM;
sleep 1000 & exec setsid sleep 1000) & sleep 1000 & wait; wait; wait' & finite=$!
i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); strangers="$strangers $!"; done
wait $finite; echo "status $?"
for pid in $strangers; do kill -0 $pid 2>/dev/null || echo "$pid is gone"; done; echo checked
kill -9 $strangers; wait; kill -0 -1 2>/dev/null && echo "somebody is left"`
	for name, args := range map[string][]string{
		"plain":         {finiteBin},
		"options":       {finiteBin, "--cgroup", "off", "--give-up", "20s"},
		"no supervisor": {"/bin/sh", "-c", `ulimit -Sv 40000; exec "$0" "$@"`, finiteBin},
	} {
		t.Run(name, func(t *testing.T) {
			r := startSpec(t, cageSpec{Mode: asSubreaper, Args: append([]string{
				needCommand(t, "unshare"), "--pid", "--fork", "--kill-child", "sh", "-c", inner, "sh",
			}, args...)}, nil).wait()
			if r.stdout != "status 124\nchecked\n" || strings.Contains(r.stderr, "gave up") {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
		})
	}
}

// With next to no file descriptors finite ends what it began, or begins nothing; it never aborts.
func TestFewDescriptors(t *testing.T) {
	for limit := 3; limit <= 12; limit++ {
		r := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{
			"/bin/sh", "-c", `ulimit -n ` + strconv.Itoa(limit) + `; exec "$0" ` +
				stretch("--timeout 200ms --grace 100ms") + ` -- sh -c 'trap "" TERM; sleep 1000'`, finiteBin,
		}}, nil).wait()
		if limit >= 10 {
			r.want(t, 124)
		} else if r.status != 124 && r.status != 125 || len(r.left) > 0 {
			t.Errorf("limit %d: status %d, left %v, stderr %q", limit, r.status, r.left, r.stderr)
		}
		if strings.Contains(r.stderr, "goroutine") || strings.Contains(r.stderr, "fatal error") {
			t.Errorf("limit %d: %s", limit, r.stderr)
		}
	}
}

// A tree 400 processes deep is killed in one go, not a level at a time.
func TestDeepTreeIsGone(t *testing.T) {
	needCommand(t, "perl")
	const deep = `my $n = 400; while ($n--) { my $p = fork; last unless defined $p; ` +
		`if ($p) { sleep 1000 while 1 } } syswrite STDOUT, "ready\n"; sleep 1000 while 1`
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := start(t, m, "--stop-grace", stretch("100ms"), "--give-up", stretch("5s"),
			"--stop-signal", "WINCH", "--rewrite", "INT:WINCH", "--", "perl", "-e", deep)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGINT)
		r := c.wait()
		r.want(t, 137)
		if strings.Contains(r.stderr, "gave up") {
			t.Errorf("gave up: %s", r.stderr)
		}
	})
}

// A daemon that the command leaves behind gets the time it needs for a clean end, and the status is
// the command's.
func TestLeftoversGetTheirGrace(t *testing.T) {
	needCommand(t, "perl")
	daemon := script(t, "daemon.pl")
	atOnce(t, allModes, func(t *testing.T, m mode) {
		dir := t.TempDir()
		for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
			_ = os.Chmod(d, 0o777)
		}
		file := filepath.Join(dir, "clean")
		r := run(t, m, "--", "perl", daemon, file)
		r.want(t, 3)
		if b, err := os.ReadFile(file); err != nil || string(b) != "clean" {
			t.Errorf("the daemon did not end cleanly: %v", err)
		}
		if r.stderr != "" {
			t.Errorf("stderr: %q, want nothing", r.stderr)
		}
	})
}

func TestLeftoversPolicies(t *testing.T) {
	const leave = `trap "" TERM; sleep 1000 & exit 4`
	atOnce(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		t.Run("kill", func(t *testing.T) {
			r := run(t, m, "--leftovers", "kill", "--", "sh", "-c", leave)
			r.want(t, 4)
			if !strings.Contains(r.stderr, "killed 1 process") {
				t.Errorf("stderr: %q", r.stderr)
			}
		})
		t.Run("wait", func(t *testing.T) {
			r := run(t, m, "--leftovers", "wait", "--", "sh", "-c", `(sleep 0.3; echo late) & exit 4`)
			r.want(t, 4)
			if r.stdout != "late\n" || r.stderr != "" {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
		})
		t.Run("wait, until a stop is requested", func(t *testing.T) {
			c := start(t, m, "-v", "--leftovers", "wait", "--grace", stretch("200ms"), "--", "sh", "-c", leave)
			c.stderr.await(t, "waiting for what it left")
			c.signal(unix.SIGTERM)
			c.wait().want(t, 4)
		})
		t.Run("wait, until the deadline", func(t *testing.T) {
			run(t, m, "--leftovers", "wait", "-t", stretch("500ms"), "-k", stretch("200ms"),
				"--", "sh", "-c", leave).want(t, 4)
		})
	})
	t.Run("leave", func(t *testing.T) {
		r := run(t, asSubreaper, "--leftovers", "leave", "--", "sh", "-c",
			`sleep 1000 & until grep -qs sleep /proc/$!/comm; do :; done; exit 4`)
		if r.status != 4 || len(r.left) != 1 || !strings.Contains(r.left[0], "(sleep)") {
			t.Errorf("status %d, left %v; want 4 and the sleep", r.status, r.left)
		}
		r = run(t, asInit, "--leftovers", "leave", "--", "true")
		r.want(t, 125)
		if want := "finite: --leftovers leave: as PID 1 nothing can be left: " +
			"the kernel kills the PID namespace with it\n"; r.stderr != want {
			t.Errorf("stderr: %q, want %q", r.stderr, want)
		}
	})
}

// A child that stops itself used to make its parent wait for ever.
func TestStoppedChildEndsInTime(t *testing.T) {
	atOnce(t, allModes, func(t *testing.T, m mode) {
		t.Run("plain", func(t *testing.T) {
			run(t, m, "-t", stretch("500ms"), "-k", stretch("20s"), "--", "sh", "-c", "kill -STOP $$").want(t, 124)
		})
		t.Run("deaf", func(t *testing.T) {
			r := run(t, m, "-t", stretch("500ms"), "-k", stretch("200ms"),
				"--", "perl", "-e", `$SIG{TERM} = "IGNORE"; kill "STOP", $$ while 1`)
			r.want(t, 124)
		})
		t.Run("with a handler", func(t *testing.T) {
			r := run(t, m, "-t", stretch("500ms"), "-k", stretch("20s"), "--", "perl",
				"-e", `$SIG{TERM} = sub { print "handled\n"; exit 0 }; kill "STOP", $$; sleep 1 while 1`)
			r.want(t, 124)
			if r.stdout != "handled\n" {
				t.Errorf("the handler did not run: %q", r.stdout)
			}
		})
		t.Run("requested stop", func(t *testing.T) {
			c := start(t, m, "-vv", "--", "perl", "-e",
				`$SIG{TERM} = sub { exit 6 }; kill "STOP", $$; sleep 1 while 1`)
			c.stderr.await(t, "was stopped by signal 19")
			c.signal(unix.SIGTERM)
			c.wait().want(t, 6)
		})
		for name, options := range map[string][]string{"keeper": nil, "supervisor": {"-v"}} {
			t.Run("again and again/"+name, func(t *testing.T) {
				stops := `$SIG{TERM} = sub { kill "STOP", $$ for 1 .. 7; exit 6 }; print "ready\n"; sleep 1 while 1`
				c := start(t, m, append(options, "--", "perl", "-e", "$| = 1; "+stops)...)
				c.stdout.await(t, "ready")
				c.signal(unix.SIGTERM)
				c.wait().want(t, 6)
			})
		}
	})
}

// Pidfds are refused, one way after another; kill(2) takes their place.
func TestWithoutPidfd(t *testing.T) {
	needCommand(t, "perl")
	tree := script(t, "tree.pl")
	all := []string{"pidfd_open", "pidfd_send_signal", "clone3", "CLONE_PIDFD", "P_PIDFD"}
	sets := map[string][]string{"all": all}
	for _, one := range all {
		sets[one] = []string{one}
	}
	for name, set := range sets {
		for errnoName, errno := range map[string]uint16{
			"ENOSYS": uint16(unix.ENOSYS), "EPERM": uint16(unix.EPERM),
		} {
			t.Run(name+"/"+errnoName, func(t *testing.T) {
				atOnce(t, allModes, func(t *testing.T, m mode) {
					deny := &denial{What: set, Errno: errno}
					c := startSpec(t, cageSpec{Mode: m, Deny: deny, Args: []string{
						finiteBin, "--stop-grace", stretch("300ms"), "--",
						"sh", "-c", `trap "echo got it" USR1; perl ` + tree + ` M 10 2 & wait; wait`,
					}}, nil)
					c.stdout.await(t, "ready")
					c.signal(unix.SIGUSR1)
					c.stdout.await(t, "got it")
					c.signal(unix.SIGTERM)
					c.wait().want(t, 143)
				})
			})
		}
	}
}

// Whatever errno a filter has for a system call, the command starts, its deadline is told from its
// own end, and it ends by the first signal.
func TestRefusedSystemCalls(t *testing.T) {
	for _, what := range []string{"ppoll", "statx", "prlimit64", "clone3"} {
		for name, errno := range map[string]unix.Errno{
			"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM, "EACCES": unix.EACCES,
		} {
			t.Run(what+"/"+name, func(t *testing.T) {
				atOnce(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
					deny := &denial{What: []string{what}, Errno: uint16(errno)}
					var r result
					complete(t, 200*time.Millisecond, func(deadline string) bool {
						r = startSpec(t, cageSpec{Mode: m, Deny: deny, Args: []string{
							finiteBin, "-t", deadline, "-k", stretch("30s"), "--", "sh", "-c",
							`trap "echo got it; exit 3" TERM; echo ready; while :; do sleep 0.05; done`,
						}}, nil).wait()
						r.want(t, 124)
						return strings.HasPrefix(r.stdout, "ready\n")
					})
					if r.stdout != "ready\ngot it\n" || !strings.Contains(r.stderr, "deadline") {
						t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
					}
				})
			})
		}
	}
}

// A command whose handlers stop it again after the stop signal is continued, with and without a
// supervisor.
func TestStopsItselfAfterTheStopSignal(t *testing.T) {
	needCommand(t, "perl")
	const command = `$| = 1; $SIG{TERM} = sub { kill "STOP", $$ for 1 .. 3; ` +
		`exit 5 }; print "ready\n"; sleep 1 while 1`
	forModes(t, allModes, func(t *testing.T, m mode) {
		t.Parallel()
		for _, options := range [][]string{{}, {"-t", "1h"}, {"-v"}} {
			c := startSpec(t, cageSpec{
				Mode: m, Args: append(append([]string{finiteBin}, options...), "--", "perl", "-e", command),
			}, nil)
			c.stdout.await(t, "ready\n")
			c.signal(unix.SIGTERM)
			c.wait().want(t, 5)
		}
	})
}
