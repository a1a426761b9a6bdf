package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// playStuck runs a command in a mount namespace that has a file which keeps whoever opens it in
// uninterruptible sleep: the first argument. It says when the command has ended, and with what, and
// lets everybody go when its standard input ends.
func playStuck(path string, args ...string) {
	runtime.LockOSThread()
	must(unix.Unshare(unix.CLONE_NEWNS))
	must(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	must(testkit.MountStuck(path))
	runBeside(path, args, func() {})
}

// playServed is playStuck where the file answers at first, and an operation (0: all) of it no more
// when a line comes by standard input.
func playServed(op int, path string, args ...string) {
	runtime.LockOSThread()
	must(unix.Unshare(unix.CLONE_NEWNS))
	must(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	debug.SetGCPercent(-1) // it would wait for a fork that waits for an answer of this process
	served, err := testkit.ServeFile(path)
	must(err)
	runBeside(path, args, func() { served.Mute(op) })
}

// runBeside runs a command beside a file system, which lets everybody go at the end of standard
// input. A line there calls mute.
func runBeside(path string, args []string, mute func()) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	must(cmd.Start())
	go func() {
		_ = cmd.Wait()
		fmt.Printf("ended with %d\n", cmd.ProcessState.ExitCode())
	}()
	for in := bufio.NewReader(os.Stdin); ; {
		if _, err := in.ReadString('\n'); err != nil {
			break
		}
		mute()
		fmt.Println("mute")
	}
	testkit.AbortStuck(path) // on this thread, which is in the namespace
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err == syscall.ECHILD {
			break
		}
	}
	fmt.Println("nobody is left")
	os.Exit(0)
}

// stuckRun is a run beside a file that does not answer.
type stuckRun struct {
	*exec.Cmd
	in  io.Writer
	out *lines
	err *lines
}

func startStuck(t *testing.T, dir string, args ...string) *stuckRun {
	t.Helper()
	return startBeside(t, "stuck", append([]string{filepath.Join(dir, "stuck")}, args...)...)
}

// startBeside plays a role that runs a command beside a file system.
func startBeside(t *testing.T, role string, args ...string) *stuckRun {
	t.Helper()
	needRoot(t)
	if _, err := os.Stat("/dev/fuse"); err != nil {
		missing(t, "no FUSE: %v", err)
	}
	r := &stuckRun{Cmd: exec.Command(cage.Self, args...), out: newLines(), err: newLines()}
	r.Env = append(os.Environ(), cage.Plays(role))
	r.Stdout, r.Stderr = r.out, r.err
	in, err := r.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.in = in
	r.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := startLocked(r.Cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which lets everybody go
		r.out.await(t, "nobody is left")
		_ = r.Wait()
	})
	return r
}

// A command in uninterruptible sleep, which SIGKILL does not end. The run ends all the
// same, and says where the command is.
func TestUninterruptibleSleep(t *testing.T) {
	for name, prefix := range map[string][]string{
		"subreaper": {finiteBin, "--cgroup", "off"},
		"cgroup":    {finiteBin, "--cgroup", "auto"},
		"namespace": {finiteBin, "--unshare", "pid,mount"},
		"init":      {"unshare", "-pf", "--mount-proc", "--kill-child", finiteBin},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			report := filepath.Join(dir, "report.json")
			began := time.Now()
			r := startStuck(t, dir, append(prefix, "--report", report,
				"-t", stretch("1s"), "-k", stretch("500ms"), "--give-up", stretch("2s"), "--", "sh", "-c",
				`cat "$0"; :`, filepath.Join(dir, "stuck"))...)
			var text []byte
			// As PID 1 it cannot end before the kernel has let everybody go. What it has to say is
			// said.
			if name == "init" {
				for !strings.Contains(string(text), `"state":"ended"`) {
					if time.Since(began) > patience() {
						t.Fatalf("the report: %s", text)
					}
					text, _ = os.ReadFile(report)
				}
			} else {
				r.out.await(t, "ended with 124\n")
				text, _ = os.ReadFile(report)
			}
			r.err.await(t, "gave up: pid ")
			t.Logf("after %v", time.Since(began))
			said := r.err.String()
			for _, want := range []string{
				`"kind":"deadline"`, `"exit_status":124`,
				`"comm":"cat","state":"D","wchan":"request_wait_answer"`,
				`"stack":["request_wait_answer`, `"gave_up":true`,
			} {
				if !strings.Contains(string(text), want) {
					t.Errorf("no %s in %s", want, text)
				}
			}
			if !strings.Contains(said, "gave up: pid ") || !strings.Contains(said, "request_wait_answer") {
				t.Errorf("got %q", said)
			}
			if strings.Contains(r.out.String(), "nobody is left") {
				t.Error("nobody was left: the command was not stuck")
			}
		})
	}
}

// The keeper of a namespace is killed while the command is in uninterruptible sleep, which keeps
// the kernel from ending the namespace. The front ends all the same, without a deadline too.
func TestKeeperIsKilledBesideUninterruptibleSleep(t *testing.T) {
	dir := t.TempDir()
	r := startStuck(t, dir, finiteBin, "--unshare", "pid,mount", "--", "cat", filepath.Join(dir, "stuck"))
	keeper := 0
	eventually(t, "the command sleeps", func() bool {
		of := below(r.Process.Pid)
		for _, pid := range withComm(keeperName, of) {
			keeper = pid
		}
		return slices.ContainsFunc(withComm("cat", of), func(pid int) bool {
			wchan, _ := os.ReadFile(fmt.Sprintf("/proc/%d/wchan", pid))
			return string(wchan) == "request_wait_answer"
		})
	})
	must(unix.Kill(keeper, unix.SIGKILL))
	r.out.await(t, "ended with 125\n")
	r.err.await(t, "finite: the keeper was killed")
}

// The file system of finite's binary does not answer any more: the deadline ends the tree.
func TestBinaryThatCannotBeRead(t *testing.T) {
	for name, prefix := range map[string][]string{
		"subreaper": nil, "init": {"unshare", "-pf", "--mount-proc", "--kill-child"},
	} {
		for _, options := range [][]string{{}, {"--give-up", "5s"}} {
			t.Run(fmt.Sprintf("%s %v", name, options), func(t *testing.T) {
				t.Parallel()
				binary := filepath.Join(t.TempDir(), "finite")
				if err := copyFile(binary, finiteBin); err != nil {
					t.Fatal(err)
				}
				args := append(append([]string{"0", binary}, prefix...),
					binary, "-t", stretch("2s"), "-k", stretch("200ms"))
				args = append(append(args, options...), "--", "sh", "-c",
					`trap "" TERM; setsid sleep 1000 & echo "ready"; while :; do sleep 1000; done`)
				r := startBeside(t, "served", args...)
				r.out.await(t, "ready")
				of := below(r.Process.Pid)
				eventually(t, "finite holds its memory", func() bool {
					for _, pid := range of {
						text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
						comm := strings.TrimSpace(string(text))
						if (comm == "finite" || comm == keeperName) && statusField(pid, "VmLck") == "0 kB" {
							return false
						}
					}
					return true
				})
				_, _ = io.WriteString(r.in, "\n")
				r.out.await(t, "mute\n")
				r.out.await(t, "ended with 124\n")
				if left := withComm("sleep", of); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

// withComm returns those of some processes, and whoever descends from them, that have a name.
func withComm(name string, pids []int) (found []int) {
	for _, pid := range pids {
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); strings.TrimSpace(string(text)) == name {
			found = append(found, pid)
		}
	}
	return found
}

// Standard output is on a file system that does not answer when it is closed. The command hangs in
// its end, and so does whoever closes it for finite: the run ends all the same, and says so.
func TestOutputThatCannotBeClosed(t *testing.T) {
	for name, prefix := range map[string]string{"subreaper": "", "namespace": "--unshare pid,mount "} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			const script = `exec "$0" $1-t $2 -k 100ms --give-up 1s -- sh -c 'echo ready >&2; ` +
				`until [ -e "$0" ]; do :; done; exit 3' "$3.go" >"$3"`
			r := startBeside(t, "served", strconv.Itoa(testkit.FuseFlush),
				file, "sh", "-c", script, finiteBin, prefix, stretch("2s"), file)
			r.err.await(t, "ready")
			_, _ = io.WriteString(r.in, "\n")
			r.out.await(t, "mute\n")
			if err := os.WriteFile(file+".go", nil, 0o644); err != nil {
				t.Fatal(err)
			}
			r.out.await(t, "ended with 124\n")
			r.err.await(t, "gave up: pid ")
		})
	}
}

// tracer is a perl program that traces a process, says so, a second later says so again, and holds
// it for a time that is longer than any run here. It is deaf to SIGTERM. The process must have no
// child that ends: a signal, which SIGCHLD is, would stop it for the tracer.
var tracer = fmt.Sprintf(`perl -e '$| = 1; $SIG{TERM} = $SIG{PIPE} = "IGNORE"; `+
	`syscall(%d, 0x4206, $ARGV[0] + 0, 0, 0) == 0 or die $!; `+
	`print "tracing\n"; sleep 1; print "tracing\n"; sleep 25' `, unix.SYS_PTRACE)

// A tracer holds the command's zombie. Its end is seen, its status is known, and the
// tracer, which is left, is ended.
func TestTracerHoldsTheZombie(t *testing.T) {
	needCommand(t, "perl")
	forModes(t, rootModes, func(t *testing.T, m mode) {
		for kind, tt := range map[string]struct {
			args   []string
			script string
			status int
		}{
			"deadline": {
				[]string{"-t", stretch("1s"), "-k", stretch("500ms"), "--give-up", stretch("2s")},
				"while :; do sleep 1; done", 124,
			},
			"exited":   {[]string{"-k", stretch("500ms")}, "read -r go; exit 3", 3},
			"signaled": {[]string{"-k", stretch("500ms")}, "ulimit -c 0; read -r go; kill -KILL $$", 137},
			"at once":  {[]string{"-k", stretch("500ms")}, "exit 3", 3}, // before finite begins to watch
		} {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				c := startWithin(t, m, dir,
					`mkfifo pipe; s=$2; shift 2; exec "$0" --report report.json "$@" -- sh -c "$s"`, nil,
					append([]string{tracer + "$$ >pipe & exec <pipe; read -r line; " + tt.script}, tt.args...)...)
				res := c.wait()
				res.want(t, tt.status)
				cause := kind
				if kind == "at once" {
					cause = "exited"
				}
				r := ended(t, filepath.Join(dir, "report.json"), cause, tt.status)
				if kind != "deadline" &&
					!strings.Contains(res.stderr, "the command has ended, but its tracer perl (pid ") {
					t.Errorf("got %q", res.stderr)
				}
				t.Logf("%s, %s: %v ms", m, kind, r.ElapsedMS)
			})
		}
	})
}

// A tracer that is not in the tree keeps the zombie for as long as it likes: it is named.
func TestTracerOutOfReach(t *testing.T) {
	needCommand(t, "perl")
	needRoot(t)
	dir := t.TempDir()
	c := startWithin(t, asSubreaper, dir,
		`mkfifo pipe; "$0" --report report.json --leftovers kill --give-up `+
			stretch("500ms")+` -- sh -c 'echo $$ >pid; read -r line <pipe; exit 3' & finite=$!; `+
			`while ! test -s pid; do :; done; `+tracer+`$(cat pid) >pipe & tracer=$!; `+
			`wait $finite; status=$?; kill -KILL $tracer; wait $tracer; exit $status`, nil)
	res := c.wait()
	text, _ := os.ReadFile(filepath.Join(dir, "report.json"))
	if res.status != 3 || !strings.Contains(string(text), `"why":"dead, but its tracer perl (pid `) ||
		!strings.Contains(res.stderr, "gave up: pid ") {
		t.Errorf("status %d, %q, %s", res.status, res.stderr, text)
	}
}

// A process of another user that an unprivileged finite may not signal is waited for, and named.
func TestAnotherUsersProcess(t *testing.T) {
	needCommand(t, "perl")
	needRoot(t)
	for _, m := range rootModes {
		t.Run(string(m), func(t *testing.T) {
			dir := t.TempDir()
			// As a set-user-ID program would: everybody changes to a user of his own, but finite,
			// which has no capabilities.
			const job = `use POSIX; my ($r, $w); pipe $r, $w; if (!fork) { POSIX::setuid(4243) or die $!; ` +
				`$SIG{TERM} = "IGNORE"; close $r; close $w; sleep 1000 } ` +
				`close $w; <$r>; exit 5`
			c := startWithin(t, m, dir,
				`chmod 777 .; exec setpriv --reuid 4242 --regid 4242 --clear-groups "$0" `+
					`--report report.json `+stretch("-k 200ms --give-up 500ms")+` -- ./job`, func(*exec.Cmd) {
					must(os.WriteFile(filepath.Join(dir, "job"), []byte("#!"+filepath.Join(dir, "perl")+"\n"+job), 0o755))
					must(testkit.CopyFile(filepath.Join(dir, "perl"), needCommand(t, "perl")))
					must(unix.Chmod(filepath.Join(dir, "perl"), 0o4755))
				})
			res := c.wait()
			text, _ := os.ReadFile(filepath.Join(dir, "report.json"))
			if res.status != 5 ||
				!strings.Contains(string(text), `"why":"another user's: uid 4243, may not be signalled from here"`) {
				t.Errorf("status %d, %q, %s", res.status, res.stderr, text)
			}
		})
	}
}

// A process in a frozen cgroup v1, which finite did not make: it is left frozen, and named.
func TestFrozenByAnother(t *testing.T) {
	point := ""
	for _, m := range testkit.CgroupMounts(t) {
		if m.Kind == "cgroup" && slices.Contains(strings.Split(m.Options, ","), "freezer") {
			point = m.Point
		}
	}
	if point == "" {
		missing(t, "no v1 freezer is mounted")
	}
	freezer := testkit.MakeCgroup(t, point)
	thaw := func() { _ = os.WriteFile(freezer+"/freezer.state", []byte("THAWED"), 0) } // or the cage cannot end
	defer thaw()
	dir := t.TempDir()
	c := startWithin(t, asSubreaper, dir,
		`exec "$0" --report report.json --leftovers kill --give-up `+stretch("500ms")+` -- `+
			`sh -c 'sleep 1000 & echo $! >"$0/cgroup.procs"; echo FROZEN >"$0/freezer.state"; exit 3' "$2"`,
		nil, freezer)
	c.stderr.await(t, "gave up: pid ")
	state, _ := os.ReadFile(freezer + "/freezer.state")
	thaw()
	res := c.wait()
	text, _ := os.ReadFile(filepath.Join(dir, "report.json"))
	why := `"why":"frozen by the v1 cgroup ` + freezer + `: even SIGKILL waits until that is thawed"`
	if res.status != 3 || !strings.Contains(string(text), why) {
		t.Errorf("status %d, %q, %s", res.status, res.stderr, text)
	}
	if string(state) != "FROZEN\n" {
		t.Errorf("the cgroup is %s", state)
	}
}

// A command that has frozen the cgroup that was made for it is thawed when its time is over: it
// acts on the stop signal.
func TestFrozenItself(t *testing.T) {
	point := testkit.Unified(t)
	forModes(t, rootModes, func(t *testing.T, m mode) {
		c := start(t, m, "-t", stretch("300ms"), "-k", stretch("20s"), "--cgroup", "require", "--", "sh", "-c",
			`trap "echo got TERM; exit 5" TERM
leaf="$0$(sed -n s/^0:://p /proc/self/cgroup)"
echo frozen; echo 1 >"$leaf/cgroup.freeze"; while :; do sleep 0.1; done`, point)
		res := c.wait()
		res.want(t, 124)
		if res.stdout != "frozen\ngot TERM\n" ||
			strings.Contains(res.stderr, "SIGKILL to everything that is left") {
			t.Errorf("got %q, %q", res.stdout, res.stderr)
		}
	})
}
