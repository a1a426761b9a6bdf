package integration

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hangingRanges is a script that runs finite, as another user, in a user namespace whose ranges of
// user IDs are mapped by a program that does not return.
const hangingRanges = `for f in uid gid; do echo 65534:200000:65536 >"$1/$f"
mount --bind "$1/$f" /etc/sub$f || exit 9
printf '#!/bin/sh\necho mapping\nexec sleep 1000\n' >"$1/new${f}map"; chmod 755 "$1/new${f}map"; done
PATH=$1:$PATH; export PATH
exec ` + nobody + `"$0" --unshare user,pid -- echo started`

// A stop that is asked for while namespaces are made ends finite: there is no command yet. A
// process that makes them is continued when it was stopped.
func TestStopWhileNamespacesAreMade(t *testing.T) {
	needRoot(t)
	c := startScript(t, hangingRanges)
	c.stdout.await(t, "mapping")
	front := c.pid()
	builder := childNamed(front, "finite")
	if builder == 0 {
		t.Fatalf("children of the front: %v", children(front))
	}
	c.kill(builder, unix.SIGSTOP)
	eventually(t, "the builder was continued", func() bool { return stateOf(builder) == 'S' })
	c.signal(unix.SIGUSR1) // is the command's
	c.signal(unix.SIGTERM)
	r := c.wait()
	r.want(t, 128+int(unix.SIGTERM))
	if !strings.HasPrefix(r.stderr, "finite: stop requested by SIGTERM") ||
		strings.Count(r.stderr, "\n") != 1 || r.stdout != "mapping\n" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}

// stateOf is a process's state, as proc_pid_status(5) has it.
func stateOf(pid int) byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, rest, ok := strings.Cut(string(text), "\nState:\t"); ok {
		return rest[0]
	}
	return 0
}

// A planner that is stopped is continued; of one that is killed one line tells, if the command
// could not be started.
func TestPlannerIsHarmed(t *testing.T) {
	needRoot(t)
	for sig, statuses := range map[unix.Signal][]int{unix.SIGSTOP: {7}, unix.SIGKILL: {7, 125}} {
		met := 0
		for range 20 {
			in, ends, err := os.Pipe() // the command ends with its input
			must(err)
			c := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{
				finiteBin, "--join", "/proc/self/ns/net", "--unshare", "uts", "--hostname", "box", "--",
				"sh", "-c", "cat; exit 7",
			}}, func(cmd *exec.Cmd) { cmd.Stdin = in })
			in.Close()
			stop := c.harm(c.pid(), sig, 1, 0)
			ends.Close()
			r := c.wait()
			met += stop()
			if !slices.Contains(statuses, r.status) || r.status != 7 && strings.Count(r.stderr, "finite: ") != 1 {
				t.Errorf("signal %d: status %d, stderr %q", sig, r.status, r.stderr)
			}
		}
		if met == 0 {
			t.Errorf("signal %d: no planner was met", sig)
		}
	}
}

// What is too much for a plan, or not allowed to one, is one line.
func TestPlanIsRefused(t *testing.T) {
	needRoot(t)
	r := inContainer(t, `container --net; set --; i=0
while test $i -lt 1200; do set -- "$@" --join "/proc/$c/ns/net"; i=$((i + 1)); done
"$finite" "$@" -- readlink /proc/self/ns/net; readlink /proc/$c/ns/net; finish`)
	if f := strings.Fields(r.stdout); len(f) != 2 || f[0] != f[1] {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
	r = scripted(t, `ulimit -f 0; exec "$0" --join /proc/self/ns/net -- echo started`)
	if r.want(t, 125); r.stderr != "finite: cannot make a copy of this program in memory: file too large\n" {
		t.Errorf("stderr %q", r.stderr)
	}
}

//go:embed testdata/keeper-killed.sh
var keeperKilled string

// A keeper in a PID namespace that it has joined leaves whom it had to that namespace's PID 1. Its
// cgroup ends them all; without one the command is ended, and the line says so.
func TestJoinKeeperIsKilled(t *testing.T) {
	needRoot(t)
	for _, with := range []bool{true, false} {
		options, said := "--cgroup off", "the keeper was killed: SIGKILL to the command; "+
			"what else it left in the PID namespace that was joined is out of reach"
		if with {
			options, said = "--cgroup require", "the keeper was killed: SIGKILL to everything that is left"
		}
		cgroup := room(t)
		r := startSpec(t, cageSpec{
			Mode: asSubreaper, Args: []string{"/bin/sh", "-c", container + keeperKilled, finiteBin, t.TempDir(), options},
		}, within(t, cgroup)).wait()
		r.want(t, 0)
		wantNoLeaf(t, cgroup)
		want := "status 125\nsleep 1000 \nsleep 1000 \n" // of the container, and of the command
		if with {
			want = "status 125\nsleep 1000 \n"
		}
		if r.stdout != want || r.stderr != "finite: "+said+"\n" {
			t.Errorf("%s: stdout %q, stderr %q", options, r.stdout, r.stderr)
		}
	}
}

// A keeper that is PID 1 cannot be reaped while somebody outside holds a zombie of its namespace.
// finite ends all the same.
func TestKeeperCannotBeReaped(t *testing.T) {
	needRoot(t)
	needCommand(t, "perl")
	const holder = `open my $ns, "<", "/proc/$ARGV[0]/ns/pid" or die $!;
syscall(308, fileno $ns, 0) == 0 or die $!;
my $p = fork; exit 0 if !$p; system "until grep -qs Z /proc/$p/stat; do sleep 0.01; done";
$SIG{TERM} = sub { wait; exit 0 }; print "held\n"; sleep 1000 while 1;`
	r := scripted(t, `"$0" --unshare pid,mount -t 1h -- sh -c 'echo ready; exec sleep 2000' >"$1/out" &
f=$!; until grep -qs ready "$1/out"; do sleep 0.01; done
for k in $(cat /proc/$f/task/$f/children); do test "$(cat /proc/$k/comm)" = keeper && keeper=$k; done
perl -e '$| = 1; '"$2" $keeper >"$1/held" 2>&1 & h=$!; until grep -qs . "$1/held"; do sleep 0.01; done
cat "$1/held"; kill -9 $keeper; wait $f; echo status $?; kill $h; wait $h`, holder)
	if r.status != 0 || len(r.left) > 1 || len(r.left) == 1 && !strings.Contains(r.left[0], "(keeper) Z") {
		t.Errorf("status %d, left behind: %v", r.status, r.left) // a zombie is the cage's to reap
	}
	if r.stdout != "held\nstatus 125\n" || !strings.Contains(r.stderr, "finite: gave up: ") {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}

// What the caller has open is the command's alone, also where a planner stays to remove a cgroup.
func TestPlannerHoldsNothing(t *testing.T) {
	needRoot(t)
	cgroup := room(t)
	const script = `mkfifo "$1/out"; "$0" --cgroup require --join /proc/self/ns/net -- sh -c 'echo word;
exec sleep 1000 >/dev/null' >"$1/out" & f=$!
cat <"$1/out"; kill $f; wait $f; echo $?`
	r := startSpec(t, cageSpec{
		Mode: asSubreaper, Args: []string{"/bin/sh", "-c", script, finiteBin, t.TempDir()},
	}, within(t, cgroup)).wait()
	if r.want(t, 0); r.stdout != "word\n143\n" {
		t.Errorf("stdout %q", r.stdout)
	}
	wantNoLeaf(t, cgroup)
}

// A keeper that is PID 1 and was stopped is continued by the front. That is no signal for the
// command.
func TestStoppedKeeperIsContinued(t *testing.T) {
	needRoot(t)
	needCommand(t, "perl")
	c := inBox(t, asSubreaper, "--", "perl", "-e", `$| = 1; $SIG{CONT} = sub { print "continued\n" }; `+
		`$SIG{USR1} = sub { print "USR1\n" }; $SIG{TERM} = sub { exit 3 }; print "ready\n"; sleep 1 while 1`)
	c.stdout.await(t, "ready")
	keeper := childNamed(c.pid(), keeperName)
	c.kill(keeper, unix.SIGSTOP)
	eventually(t, "the keeper was continued", func() bool { return stateOf(keeper) == 'S' })
	c.signal(unix.SIGUSR1)
	c.stdout.await(t, "USR1")
	c.signal(unix.SIGCONT)
	c.stdout.await(t, "continued")
	c.signal(unix.SIGTERM)
	if r := c.wait(); r.status != 3 || r.stdout != "ready\nUSR1\ncontinued\n" {
		t.Errorf("status %d, stdout %q", r.status, r.stdout)
	}
}
