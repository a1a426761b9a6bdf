package integration

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

// randomMoment starts a program many times, ends it at a random moment, and says how it ended.
//
//go:embed testdata/random-moment.pl
var randomMoment string

// boxes are the options that make a PID namespace with its own /proc, in each mode.
var boxes = map[mode]string{asInit: "pid,mount", asSubreaper: "pid,mount", asNobody: "user,pid,mount"}

// inBox runs finite with a PID namespace of the command's own.
func inBox(t *testing.T, m mode, args ...string) *caged {
	t.Helper()
	return start(t, m, append([]string{"--unshare", boxes[m]}, args...)...)
}

// innerPID returns the PID of the inner finite, as the test sees it, once it is there.
func (c *caged) innerPID() int {
	c.t.Helper()
	return cage.Child(c.t, c.pid())
}

// scripted runs a shell script in a cage, with finite as $0, and a directory that everybody may
// write to as $1.
func scripted(t *testing.T, script string, args ...string) result {
	t.Helper()
	return startScript(t, script, args...).wait()
}

func startScript(t *testing.T, script string, args ...string) *caged {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o777)
	}
	return startSpec(t, cageSpec{
		Mode: asSubreaper, Args: append([]string{"/bin/sh", "-c", script, finiteBin, dir}, args...),
	}, nil)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root")
	}
}

// nobody runs a command as another user, one who may gain privileges.
const nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups "

// The command is the child of an init of its own, which is the keeper, and sees nobody else. Its
// standard streams, its arguments, its environment and its exit status are as without.
func TestUnsharePID(t *testing.T) {
	const script = `read -r word; echo "$word,$1,$2,$A,$FINITE_INNER,$FINITE_UNSHARE"
seen=; for p in /proc/[0-9]*; do read -r c <$p/comm && seen="$seen $c"; done; echo "$PPID$seen"
echo "mine $(exec cat /proc/$$/comm)"; cat /proc/1/comm; echo told >&2; exit 7`
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := startSpec(t, cageSpec{
			Mode: m, Args: []string{finiteBin, "--", "sh", "-c", script, "sh", "an argument", ""},
		}, func(cmd *exec.Cmd) {
			cmd.Stdin = strings.NewReader("a word\n")
			cmd.Env = append(cmd.Env, "A=b", "FINITE_UNSHARE="+boxes[m])
		})
		r := c.wait()
		r.want(t, 7)
		lines := strings.Split(r.stdout, "\n")
		if len(lines) != 5 || lines[0] != "a word,an argument,,b,," || lines[3] != "keeper" {
			t.Fatalf("stdout: %q", r.stdout)
		}
		if lines[1] != "1 keeper supervisor sh" || lines[2] != "mine sh" {
			t.Errorf("it sees %q, %q", lines[1], lines[2])
		}
		if r.stderr != "told\n" {
			t.Errorf("stderr: %q", r.stderr)
		}
	})
}

// The exit status is the command's, through both of them: every way to end, and to not begin.
func TestUnshareExitStatus(t *testing.T) {
	plain := filepath.Join(filepath.Dir(finiteBin), "plain-file")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const loop = `check() { want=$1; shift; "$finite" --unshare pid,mount -- "$@" 2>"$dir/err"; got=$?
test $got = $want || echo "$*: status $got, want $want"
test $want -lt 125 || test $want -gt 127 || test $(wc -l <"$dir/err") = 1 || cat "$dir/err"; }
finite=$0; dir=$1; for i in 0 1 7 124 128 143 255; do check $i sh -c "exit $i"; done
for i in 1 2 3 6 9 11 13 14 15 34 40 64; do check $((128 + i)) sh -c "kill -$i \$\$; sleep 1000"; done
check 127 no-such-command; check 127 /no/such; check 126 /tmp; check 126 "$2"; echo checked`
	r := scripted(t, loop, plain)
	r.want(t, 0)
	if r.stdout != "checked\n" || r.stderr != "" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}

// Every signal that can be caught arrives at the command, although two hand it on.
func TestUnshareForwardsSignals(t *testing.T) {
	needExact(t)
	forModes(t, allModes, func(t *testing.T, m mode) {
		sent := signalsExcept(unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, 32, 33)
		c := inBox(t, m, "--", recorderBin(t), strconv.Itoa(len(sent)))
		c.stdout.await(t, "ready")
		for _, sig := range sent {
			c.signal(sig)
			c.stdout.await(t, fmt.Sprintf("got %d ", int(sig)))
		}
		r := c.wait()
		r.want(t, 42)
		if got := strings.Count(r.stdout, "got "); got != len(sent) {
			t.Errorf("%d of %d signals arrived", got, len(sent))
		}
	})
}

// Queued values arrive, all of them and in order.
func TestUnshareForwardsValues(t *testing.T) {
	needExact(t)
	const count = 200
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := inBox(t, m, "--", recorderBin(t), strconv.Itoa(count))
		c.stdout.await(t, "ready")
		c.settled()
		for value := range count {
			c.enqueue(unix.Signal(37), value)
		}
		r := c.wait()
		r.want(t, 42)
		next := 0
		for line := range strings.Lines(r.stdout) {
			var number, code, pid, uid, value int
			if n, _ := fmt.Sscanf(line, "got %d code %d pid %d uid %d value %d",
				&number, &code, &pid, &uid, &value); n != 5 {
				continue
			}
			if number != 37 || code != -1 || value != next {
				t.Fatalf("line %d: %q", next, line)
			}
			next++
		}
		if next != count {
			t.Errorf("%d of %d arrived", next, count)
		}
	})
}

// A stop is the command's to handle, is said once, and names who sent it, which only the outer one
// can see.
func TestUnshareRequestedStop(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := inBox(t, m, "--", "sh", "-c", `trap "exit 5" TERM; echo ready; while :; do sleep 0.05; done`)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGTERM)
		r := c.wait()
		r.want(t, 5)
		if want := "finite: stop requested by SIGTERM from outside the PID namespace\n"; r.stderr != want {
			t.Errorf("stderr: %q, want %q", r.stderr, want)
		}
	})
}

// A stop that is there before the command is ends it all.
func TestUnshareStopComesFirst(t *testing.T) {
	needExact(t)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT} {
		script := `use POSIX; my $s = shift; sigprocmask(SIG_BLOCK, POSIX::SigSet->new($s)); ` +
			`kill $s, $$; exec @ARGV`
		r := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{
			needCommand(t, "perl"), "-e", script, strconv.Itoa(int(sig)),
			finiteBin, "--unshare", "pid,mount", "--", "sh", "-c", "echo started; sleep 1000",
		}}, nil).wait()
		// It was blocked when finite was started, and so it is for the command: whoever looks first
		// takes it.
		r.want(t, 128+int(sig))
		if r.stdout != "" {
			t.Errorf("stdout: %q", r.stdout)
		}
	}
}

// The deadline holds for everybody: escapees, half of them deaf, and lines that fork as fast as
// they can. The /proc of a namespace without mounts of its own shows strangers, and is not needed.
func TestUnshareDeadline(t *testing.T) {
	needCommand(t, "perl")
	tree := script(t, "tree.pl")
	atOnce(t, allModes, func(t *testing.T, m mode) {
		for _, kinds := range []string{boxes[m], strings.TrimSuffix(boxes[m], ",mount")} {
			r := run(t, m, "--unshare", kinds, "-t", stretch("1s"), "-k", stretch("300ms"),
				"--give-up", stretch("5s"), "--", "perl", tree, "MARK", "60", "2")
			r.want(t, 124)
			if !strings.Contains(r.stdout, "ready") {
				t.Fatalf("%s: the tree was not complete at the deadline: %q", kinds, r.stdout)
			}
			if strings.Count(r.stderr, "the deadline was reached") != 1 || strings.Contains(r.stderr, "gave up") {
				t.Errorf("%s: stderr: %s", kinds, r.stderr)
			}
		}
	})
}

// Where the inner one cannot act, the outer one does: it is the backstop.
func TestUnshareBackstop(t *testing.T) {
	atOnce(t, allModes, func(t *testing.T, m mode) {
		c := inBox(t, m, "-t", stretch("500ms"), "-k", stretch("100ms"), "--give-up", stretch("100ms"),
			"--", "sh", "-c", `trap "" TERM; setsid sleep 1000 & echo ready; sleep 1000`)
		c.stdout.await(t, "ready")
		if err := unix.Kill(c.innerPID(), unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		r := c.wait()
		r.want(t, 124)
		if !strings.Contains(r.stderr, "deadline") {
			t.Errorf("stderr: %q", r.stderr)
		}
	})
}

// familyWithPipe says its parent's number and that it is ready, and holds standard output, as a
// deaf escapee of it does.
const familyWithPipe = `use POSIX; $SIG{TERM} = $SIG{HUP} = $SIG{INT} = "IGNORE";
if (!fork) { setsid(); exit if fork; sleep 1000 while 1 }
wait; syswrite STDOUT, "ready\n"; sleep 1000 while 1`

// When the outer one is killed, nobody is left. Standard output is closed when the last of them is
// gone.
func TestUnshareOuterIsKilled(t *testing.T) {
	needCommand(t, "perl")
	capable := filepath.Join(filepath.Dir(finiteBin), "capable")
	for user, tt := range map[string]struct{ front, kinds, binary string }{
		"root":   {"", boxes[asSubreaper], finiteBin},
		"nobody": {nobody, boxes[asNobody], finiteBin},
		// Whose execution clears the parent-death signal (PR_SET_PDEATHSIG(2const)).
		"file capabilities": {"setpriv --reuid 12345 --regid 12345 --clear-groups ", boxes[asSubreaper], capable},
	} {
		t.Run(user, func(t *testing.T) {
			if tt.front != "" {
				needRoot(t)
			}
			if tt.binary == capable {
				needCommand(t, "setpriv")
				must(copyFile(capable, finiteBin))
				allow(t, capable, unix.CAP_SYS_ADMIN)
			}
			const script = `sh -c 'echo $$; exec '"$3"'"$@"' sh "$5" --unshare "$4" -- perl -e "$2" |
{ read -r outer; read -r ready; kill -9 "$outer"; cat; echo "gone after $ready"; }`
			r := scripted(t, script, familyWithPipe, tt.front, tt.kinds, tt.binary)
			if r.stdout != "gone after ready\n" || r.status != 0 {
				t.Errorf("status %d, stdout %q, stderr %q", r.status, r.stdout, r.stderr)
			}
		})
	}
}

// allow gives a file a capability, which is effective at once (capabilities(7)).
func allow(t *testing.T, path string, capability int) {
	t.Helper()
	const revision2, effective = 0x02000000, 1
	data := binary.LittleEndian.AppendUint32(nil, revision2|effective)
	data = binary.LittleEndian.AppendUint32(data, 1<<capability)
	data = append(data, make([]byte, 12)...)
	if err := unix.Setxattr(path, "security.capability", data, 0); err != nil {
		missing(t, "cannot give %s a capability: %v", path, err)
	}
}

// At a random moment of the first 5 ms, SIGTERM ends it with 143, and SIGKILL leaves nobody either.
func TestUnshareEndsAtARandomMoment(t *testing.T) {
	const runs = 200
	for name, args := range map[string][]string{
		"pid,mount": {"--unshare", "pid,mount"},
		"all":       {"--unshare", "all", "--cgroup", "auto", "--stop-grace", stretch("5s")},
	} {
		t.Run(name, func(t *testing.T) {
			args = append(append([]string{
				needCommand(t, "perl"), "-e", randomMoment, finiteBin, strconv.Itoa(runs),
			}, args...), "--", "sleep", "1000")
			c := startSpec(t, cageSpec{Mode: asSubreaper, Args: args}, nil)
			r := c.waitLong(2 * patience())
			if r.status != 0 {
				t.Errorf("status %d", r.status)
			}
			for line := range strings.Lines(r.stdout) {
				switch line {
				case "15 status 143\n", "9 signal 9\n":
				case "15 signal 15\n": // before finite was executed, or its first instruction
				default:
					t.Errorf("signal %sstderr: %s", line, r.stderr)
				}
			}
			for _, stat := range r.left { // what was killed with its parent waits for a PID 1 that does not reap
				if !strings.Contains(stat, ") Z ") && !strings.Contains(stat, ") X ") {
					t.Errorf("left: %s", stat)
				}
			}
		})
	}
}

// Where others may not make namespaces, a user namespace lets them: they are themselves in it, or
// root.
func TestUnshareUser(t *testing.T) {
	for option, want := range map[string]string{"": "65534 65534", "--map-root": "0 0"} {
		for _, kinds := range []string{"user,pid,mount", "user", "all"} {
			args := []string{
				"--unshare", kinds, "--", "sh", "-c",
				`echo $(id -u) $(id -g); cat /proc/self/uid_map /proc/self/setgroups`,
			}
			if option != "" {
				args = append([]string{option}, args...)
			}
			r := run(t, asNobody, args...)
			r.want(t, 0)
			f := strings.Fields(r.stdout)
			if len(f) != 6 || f[0]+" "+f[1] != want || f[2] != f[0] ||
				f[3] != "65534" || f[4] != "1" || f[5] != "deny" {
				t.Errorf("%s %s: stdout %q, want %s", kinds, option, r.stdout, want)
			}
		}
	}
}

// Where subuid(5) and subgid(5) grant ranges, they are mapped.
func TestUnshareUserRanges(t *testing.T) {
	needRoot(t)
	needCommand(t, "newuidmap")
	needCommand(t, "newgidmap")
	for _, file := range []string{"/etc/subuid", "/etc/subgid"} {
		if _, err := os.Stat(file); err != nil {
			missing(t, "%v", err)
		}
	}
	const script = `printf '1:2:3\n65534:200000:65536\n' >"$1/uid"
printf 'nobody:300000:1000\n' >"$1/gid"
mount --bind "$1/uid" /etc/subuid && mount --bind "$1/gid" /etc/subgid || exit 9
exec ` + nobody + `"$0" $2 -- sh -c 'p=/proc/self
echo $(id -u) $(id -g) $(cat $p/uid_map) , $(cat $p/gid_map) , $(cat $p/setgroups)'`
	for options, want := range map[string]string{
		"--unshare user,pid,mount --map-root": "0 0 0 65534 1 1 200000 65536 , 0 65534 1 1 300000 1000 , allow\n",
		"--unshare user --map-root":           "0 0 0 65534 1 1 200000 65536 , 0 65534 1 1 300000 1000 , allow\n",
		"--unshare user,pid,mount": "65534 65534 65534 65534 1 0 200000 65534 65535 265534 2 , " +
			"65534 65534 1 0 300000 1000 , allow\n",
	} {
		r := scripted(t, script, options)
		r.want(t, 0)
		// The kernel sorts what it was given, or does not: the rows are compared as a set.
		if sortRows(r.stdout) != sortRows(want) {
			t.Errorf("%s: %q, want %q\nstderr: %s", options, r.stdout, want, r.stderr)
		}
	}
	// A grant that cannot be carried out is an error, and nothing is started.
	refused := strings.Replace(script, "65534:200000:65536", "65534:65500:65536", 1)
	r := scripted(t, refused, "--unshare user,pid --report fd:1")
	r.want(t, 125)
	if !strings.Contains(r.stdout, `"error":"--unshare user,pid: map-ids: /usr/bin/newuidmap: `) {
		t.Errorf("the report is %q", r.stdout)
	}
	r = scripted(t, refused, "--unshare user,pid")
	r.want(t, 125)
	if r.stdout != "" ||
		!strings.Contains(r.stderr, "finite: cannot start the command: --unshare user,pid: map-ids: ") {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}

// sortRows brings the rows of the ID maps in a line of this test's into one order.
func sortRows(line string) string {
	parts := strings.Split(line, " , ")
	for i, part := range parts[:min(2, len(parts))] {
		f := strings.Fields(part)
		if i == 0 && len(f) > 2 {
			parts[i], f = f[0]+" "+f[1], f[2:]
		} else {
			parts[i] = ""
		}
		rows := map[string]bool{}
		for ; len(f) > 2; f = f[3:] {
			rows[strings.Join(f[:3], " ")] = true
		}
		parts[i] += fmt.Sprint(rows)
	}
	return strings.Join(parts, " , ")
}

// A network namespace has a loopback device that is up.
func TestUnshareNetwork(t *testing.T) {
	needCommand(t, "perl")
	const talk = `use IO::Socket::INET;
my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1) or die "listen: $!";
my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $l->sockport) or die "connect: $!";
my $a = $l->accept; print $a "heard\n"; close $a; print <$c>;
open my $d, "<", "/proc/net/dev"; while (<$d>) { print "$1 " if /^\s*(\w+):/ } print "\n"`
	forModes(t, allModes, func(t *testing.T, m mode) {
		for _, kinds := range []string{"net", "net,mount,pid"} {
			if m == asNobody {
				kinds += ",user"
			}
			r := run(t, m, "--unshare", kinds, "--", "perl", "-e", talk)
			r.want(t, 0)
			if dev, ok := strings.CutPrefix(r.stdout, "heard\n"); !ok ||
				!strings.Contains(dev, "lo ") || strings.Contains(dev, "eth") {
				t.Errorf("%s: stdout %q, stderr %q", kinds, r.stdout, r.stderr)
			}
		}
	})
}

// The host name is the command's alone.
func TestUnshareHostname(t *testing.T) {
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	longest := strings.Repeat("n", 64)
	forModes(t, allModes, func(t *testing.T, m mode) {
		for _, name := range []string{"box", longest, "a.b-c"} {
			for _, kinds := range []string{"uts", "uts,pid,mount"} {
				if m == asNobody {
					kinds += ",user"
				}
				r := run(t, m, "--unshare", kinds, "--hostname", name, "--", "uname", "-n")
				r.want(t, 0)
				if r.stdout != name+"\n" {
					t.Errorf("%s: %q", kinds, r.stdout)
				}
			}
		}
	})
	if after, _ := os.Hostname(); after != before {
		t.Errorf("the host is called %q now, it was %q", after, before)
	}
}

// Nothing of the caller's mounts changes, shared as they may be, with what is mounted inside,
// finite's own /proc included.
func TestUnshareMountsStayInside(t *testing.T) {
	needRoot(t)
	for _, kinds := range []string{"mount", "pid,mount", "all"} {
		const script = `mount --make-rshared / || exit 9; cat /proc/self/mountinfo >"$1/before"
"$0" --unshare "$2" -- sh -c '
mount -t tmpfs inside /mnt && : >/mnt/file && grep -c " - tmpfs inside" /proc/self/mountinfo' || exit 8
cat /proc/self/mountinfo >"$1/after"
cmp "$1/before" "$1/after" && test ! -e /mnt/file && test -e /proc/$$/stat && echo same`
		r := scripted(t, script, kinds)
		r.want(t, 0)
		if r.stdout != "1\nsame\n" {
			t.Errorf("%s: stdout %q, stderr %q", kinds, r.stdout, r.stderr)
		}
	}
}

// Only what was asked for is another namespace. In a PID namespace the command's parent is PID 1.
func TestUnshareAlone(t *testing.T) {
	const kinds = "user cgroup ipc uts net time mnt pid"
	const show = `for n in ` + kinds + `; do readlink /proc/self/ns/$n; done`
	for list, want := range map[string]string{
		"ipc": "ipc", "uts": "uts", "cgroup": "cgroup", "time": "time",
		"net": "net", "mount": "mnt", "user": "user",
		"ipc,uts,cgroup,time,net,mount,user": "ipc uts cgroup time net mnt user", "pid": "pid", "all": kinds,
	} {
		r := scripted(t, show+`; sh -c 'echo $$; exec "$@"' sh "$0" --unshare "$2" -- sh -c 'echo $PPID; `+
			show+`'`, list)
		r.want(t, 0)
		lines := strings.Fields(r.stdout)
		if len(lines) != 18 {
			t.Fatalf("%s: stdout %q, stderr %q", list, r.stdout, r.stderr)
		}
		for i, name := range strings.Fields(kinds) {
			differs := strings.Contains(" "+want+" ", " "+name+" ")
			if (list == "pid" || list == "all") && name == "pid" || list == "pid" {
				continue // /proc is another's there, or $PPID is 1: see below
			}
			if outside, inside := lines[i], lines[10+i]; (outside != inside) != differs {
				t.Errorf("%s: %s outside, %s inside", list, outside, inside)
			}
		}
		if (list == "pid" || list == "all") != (lines[9] == "1") {
			t.Errorf("%s: finite is %s, and the command's parent %s", list, lines[8], lines[9])
		}
	}
}

// What happens is said once, by the one that knows more, at every level but debug, and every line
// is what the format says.
func TestUnshareLog(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		for _, options := range [][]string{{"-v"}, {"--log-level", "info"}, {"-v", "--log-format", "json"}} {
			args := append(options, "--", "sh", "-c",
				`trap "echo told" USR1; trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done`)
			c := inBox(t, m, args...)
			c.stdout.await(t, "ready")
			c.signal(unix.SIGUSR1)
			c.stdout.await(t, "told")
			c.signal(unix.SIGTERM)
			r := c.wait()
			r.want(t, 3)
			for _, once := range []string{"passed SIGUSR1 on", "passed SIGTERM on"} {
				if strings.Count(r.stderr, once) != 1 {
					t.Errorf("%v: not once %q:\n%s", options, once, r.stderr)
				}
			}
			for line := range strings.Lines(r.stderr) {
				var entry map[string]any
				if err := json.Unmarshal([]byte(line), &entry); len(options) == 3 &&
					(err != nil || entry["severity"] == nil || entry["message"] == nil) {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
		r := inBox(t, m, "--log-format", "json", "-t", stretch("100ms"), "--", "sleep", "1000").wait()
		r.want(t, 124)
		if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, `"severity":"WARNING"`) {
			t.Errorf("stderr: %s", r.stderr)
		}
	})
}

// The parent's death is told to the command, by way of both.
func TestUnshareParentDeath(t *testing.T) {
	const script = `"$0" --leftovers wait -- sh -c '` +
		`"$0" -p TERM --unshare pid,mount -- sh -c "$2" sh "$1" & ` +
		`while ! test -e "$1/ready"; do sleep 0.05; done; kill -9 $$' "$0" "$1" "$2"`
	r := scripted(t, script, `trap "echo told; exit 0" TERM; : >"$1/ready"; while :; do sleep 0.05; done`)
	r.want(t, 137)
	if r.stdout != "told\n" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}

// A root file system that nobody may write to is no hindrance.
func TestUnshareReadOnlyRoot(t *testing.T) {
	needRoot(t)
	const script = `mount -o remount,bind,ro / || exit 9; ` +
		`"$0" --unshare "$2" -t 1h -- sh -c 'cat /proc/1/comm; if : >/no-such-file; then echo writable; fi'`
	for _, kinds := range []string{"pid,mount", "all"} {
		r := scripted(t, script, kinds)
		if r.stdout != "keeper\n" || len(r.left) > 0 {
			t.Errorf("%s: status %d, stdout %q, stderr %q, left %v", kinds, r.status, r.stdout, r.stderr, r.left)
		}
	}
}

// Without /proc, finite finds its own file by the name it was started with, and the deadline holds.
// A user namespace, whose maps are files in /proc, cannot be made then.
func TestUnshareWithoutProc(t *testing.T) {
	needRoot(t)
	for name, finite := range map[string]string{"by path": `"$0"`, "by name": `PATH="${0%/*}:$PATH" finite`} {
		script := `while umount -l /proc 2>&-; do :; done; test ! -e /proc/self || exit 8; ` +
			finite + ` $2 -- sh -c 'echo $PPID; '"$3"; status=$?; mount -t proc proc /proc; exit $status`
		r := scripted(t, script, "--unshare pid,mount", "cat /proc/1/comm; exit 3")
		r.want(t, 3)
		if r.stdout != "1\nkeeper\n" || r.stderr != "" {
			t.Errorf("%s: stdout %q, stderr %q", name, r.stdout, r.stderr)
		}
		r = scripted(t, script, stretch("--unshare pid -t 500ms -k 200ms"),
			`trap "" TERM; setsid sleep 1000 & setsid sleep 1000`)
		r.want(t, 124)
		r = scripted(t, script, "--unshare user", "")
		r.want(t, 125)
		if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "--unshare user: ") {
			t.Errorf("%s: stderr %q", name, r.stderr)
		}
	}
}

// What cannot be done is said in one line that names the option and its value; nothing was started,
// and nothing is left.
func TestUnshareNotPermitted(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"join":                 {[]string{"--join", "1"}, "--join 1: "},
		"join one":             {[]string{"--join", "1:net"}, "--join 1:net: "},
		"unshare":              {[]string{"--unshare", "net"}, "--unshare net"},
		"with an inner finite": {[]string{"--unshare", "pid,mount"}, "--unshare pid,mount: operation not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, asNobody, append(tt.args, "--", "sh", "-c", "echo started")...)
			r.want(t, 125)
			if !strings.HasPrefix(r.stderr, "finite: ") || strings.Count(r.stderr, "\n") != 1 ||
				!strings.Contains(r.stderr, tt.want) {
				t.Errorf("stderr: %q, want one line with %q", r.stderr, tt.want)
			}
			if r.stdout != "" {
				t.Errorf("stdout: %q", r.stdout)
			}
		})
	}
}

// No more user namespaces may be made: one line, and none is left.
func TestUnshareIsExhausted(t *testing.T) {
	for _, kinds := range []string{"user", "user,pid,mount"} {
		r := run(t, asNobody, "--unshare", "user", "--map-root", "--", "sh", "-c",
			`echo 0 >/proc/sys/user/max_user_namespaces || exit 9; exec "$0" --unshare `+
				kinds+` -- sh -c "echo started"`, finiteBin)
		r.want(t, 125)
		if want := "finite: cannot start the command: --unshare " + kinds +
			": no space left on device\n"; r.stderr != want || r.stdout != "" {
			t.Errorf("stdout %q, stderr %q, want %q", r.stdout, r.stderr, want)
		}
	}
}

// Ctrl-C reaches the command, which has the terminal; Ctrl-Z stops the job as a whole, and fg
// resumes it.
func TestUnshareTerminal(t *testing.T) {
	needRoot(t)
	const command = `trap "echo inter""rupted; exit 3" INT; echo rea""dy; ` +
		`read -r word; echo "re""ad $word"; while :; do sleep 0.05; done`
	interrupt := func(t *testing.T, c *console) {
		t.Helper()
		c.out.await(t, "ready")
		c.write("word\n")
		c.out.await(t, "read word")
		c.write(ctrlC)
		c.out.await(t, "interrupted")
	}
	t.Run("session leader", func(t *testing.T) {
		c := openConsole(t, finiteBin, "--unshare", "pid,mount", "--", "sh", "-c", command)
		interrupt(t, c)
		c.wait(3)
	})
	t.Run("job of a shell", func(t *testing.T) {
		c := openShell(t)
		c.write("$FINITE --unshare pid,mount -- sh -c '" + command + "'\n")
		interrupt(t, c)
		c.write("echo sta'tus' $?\n")
		c.out.await(t, "status 3")
		c.write("exit 6\n")
		c.wait(6)
	})
	t.Run("job control", func(t *testing.T) { tryJobControl(t, "--unshare pid,mount") })
}

// A planner whose Go runtime cannot start is a refusal: one line, status 125, and nothing has run.
func TestPlannerCannotStart(t *testing.T) {
	needRoot(t)
	const script = `ulimit -v 40000; exec "$0" --unshare user,pid -v -- echo started`
	r := startSpec(t, cageSpec{
		Mode: asSubreaper, Args: []string{"/bin/sh", "-c", script, finiteBin},
	}, nil).wait()
	r.want(t, 125)
	if r.stdout != "" || r.stderr != "finite: the planner cannot run\n" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}
