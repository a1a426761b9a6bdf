package integration

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// container is a shell function that makes a container, as an engine would, and sets c to the PID
// of its init, which reaps nothing; and others that look into it, and end it. Its options are those
// of unshare(1).
//
//go:embed testdata/container.sh
var container string

// inContainer runs a script in a cage, with a container of the test's own.
func inContainer(t *testing.T, script string, args ...string) result {
	t.Helper()
	needRoot(t)
	for _, name := range []string{"unshare", "nsenter", "perl"} {
		needCommand(t, name)
	}
	return scripted(t, container+script, args...)
}

const namespaceNames = "cgroup ipc mnt net pid time user uts"

// All of a container's namespaces, some of them, or those that a file stands for. What is not asked
// for stays the caller's. The command's parent is a keeper, and finite's own exit status is the
// command's.
func TestJoin(t *testing.T) {
	const script = `container --uts --net --ipc; : >"$dir/bound"; mount --bind /proc/$c/ns/net "$dir/bound"
ids() { for n in ` + namespaceNames + `; do readlink $1/ns/$n; done; }
show='for n in ` + namespaceNames + `; do readlink /proc/self/ns/$n; done; cat /proc/$PPID/comm; exit 7'
target=$(eval echo "$1"); ids /proc/self; ids /proc/$c
"$finite" --join "$target" $2 -- sh -c "$show"; echo $?; finish`
	for _, tt := range []struct{ target, options, joined string }{
		{"$c", "", "ipc mnt net pid uts"},
		{"$c:net", "", "net"},
		{"$c:net,uts", "", "net uts"},
		{"$c:all", "", "ipc mnt net pid uts"},
		{"$c:mnt,pid", "", "mnt pid"},
		{"/proc/$c/ns/net", "", "net"},
		{"$dir/bound", "", "net"},
		{"$c:ipc", "--join /proc/self/ns/net", "ipc"},
		{"$c:pid,mnt", "-t 1h -v", "mnt pid"},
	} {
		r := inContainer(t, script, tt.target, tt.options)
		f := strings.Fields(r.stdout)
		if r.want(t, 0); len(f) != 26 || f[24] != "keeper" || f[25] != "7" {
			t.Fatalf("--join %s: stdout %q, stderr %q", tt.target, r.stdout, r.stderr)
		}
		for i, name := range strings.Fields(namespaceNames) {
			caller, its, inside := f[i], f[8+i], f[16+i]
			want := caller
			if strings.Contains(" "+tt.joined+" ", " "+name+" ") {
				if want = its; its == caller {
					t.Errorf("the container has no %s of its own", name)
				}
			}
			if inside != want {
				t.Errorf("--join %s: %s is %s, want %s (the caller's is %s, the container's %s)",
					tt.target, name, inside, want, caller, its)
			}
		}
	}
}

// A new namespace besides joined ones; and one's own, which is none to join.
func TestJoinAndUnshare(t *testing.T) {
	r := inContainer(t, `container --net
"$finite" --join $c:net --unshare pid,mount,uts --hostname box -- sh -c '
echo $PPID; uname -n; readlink /proc/self/ns/net'
readlink /proc/$c/ns/net; "$finite" --join $$ -- echo here
"$finite" --join $c --unshare uts --hostname box2 -- uname -n
"$finite" --join $c --unshare pid -- echo started; echo $?; finish`)
	r.want(t, 0)
	f := strings.Fields(r.stdout)
	if len(f) != 7 || f[0] != "1" || f[1] != "box" || f[2] != f[3] ||
		strings.Join(f[4:], " ") != "here box2 125" {
		t.Errorf("stdout %q", r.stdout)
	}
	if r.stderr != "finite: --unshare pid: no PID namespace can be made together with one that is joined\n" {
		t.Errorf("stderr %q", r.stderr)
	}
}

// The user namespace of somebody's container gives the right to join the others, and in it one is
// root.
func TestJoinUserNamespace(t *testing.T) {
	const script = `user=` + nobody + `; mkfifo "$dir/up"; chmod 666 "$dir/up"
$user unshare --user --map-root-user --pid --fork --mount-proc --uts --kill-child \
sh -c 'echo up; exec sleep 1000' >"$dir/up" 2>/dev/null & u=$!
read -r up <"$dir/up"; read -r c <"/proc/$u/task/$u/children"
eval "$1" '"$finite"' --join $c -- sh -c '"id -u; readlink /proc/self/ns/user /proc/self/ns/pid;
setsid sleep 1000 & exit 4"'; echo $?; readlink /proc/$c/ns/user /proc/$c/ns/pid; alive; finish`
	quoted := strings.Replace(script, "user="+nobody, "user='"+nobody+"'", 1)
	for name, front := range map[string]string{"its owner": nobody, "root": ""} {
		r := inContainer(t, quoted, front)
		r.want(t, 0)
		f := strings.Fields(r.stdout)
		if len(f) != 8 || f[0] != "0" || f[1] != f[4] || f[2] != f[5] || f[3] != "4" || f[6]+f[7] != "(sleep)S" {
			t.Errorf("%s: stdout %q, stderr %q", name, r.stdout, r.stderr)
		}
	}
}

// When the outer one is killed, the inner one ends what it has started within its grace time, and
// the container goes on.
func TestJoinOuterIsKilled(t *testing.T) {
	script := `container --net
sh -c 'echo $$; exec "$@"' sh "$finite" -k ` + stretch("200ms") + ` --join "$c$2" -- perl -e "$1" |
{ read -r outer; read -r ready; kill -9 "$outer"; cat; echo "gone after $ready"; }
kill -0 $c && echo "the container is alive"
exit 0` // orphans of the cage, whose PID 1 reaps nothing, keep the container from ending
	for _, list := range []string{"", ":net", ":pid,mnt"} {
		r := inContainer(t, script, familyWithPipe, list)
		if r.status != 0 || r.stdout != "gone after ready\nthe container is alive\n" ||
			!strings.Contains(r.stderr, "finite: finite was killed: ") {
			t.Errorf("%q: status %d, stdout %q, stderr %q", list, r.status, r.stdout, r.stderr)
		}
	}
}

// Signals reach a command in a container; who sent a stop is said by the one that can see that.
func TestJoinForwardsSignals(t *testing.T) {
	needExact(t)
	needRoot(t)
	var sent, want string
	for _, sig := range signalsExcept(unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, 32, 33) {
		sent += fmt.Sprintf("%d ", int(sig))
		want += fmt.Sprintf("%d\n", int(sig))
	}
	r := inContainer(t, `container; mkfifo "$dir/out"; "$finite" --join $c -- "$1" 59 >"$dir/out" & f=$!
{ read -r ready; echo $ready
for s in $2; do kill -$s $f; read -r got number rest; echo $number; done; } <"$dir/out"
wait $f; echo status $?; finish`, recorderBin(t), sent)
	r.want(t, 0)
	if r.stdout != "ready\n"+want+"status 42\n" {
		t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
	}
}

// A child that was moved into another PID namespace, or went there by itself, escaped
// the one who waited for it. Whatever namespaces it and its descendants are in, the deadline ends
// them, and they are reaped.
func TestAcrossPIDNamespaces(t *testing.T) {
	needRoot(t)
	needCommand(t, "perl")
	needCommand(t, "unshare")
	const unshared = "unshare --pid --fork --mount-proc "
	const deaf = `perl -e 'use POSIX; $SIG{TERM} = q(IGNORE); ` +
		`for (1 .. 5) { next if fork; setsid(); exit if fork; sleep 1000 while 1 } wait for 1 .. 5; ` +
		`print qq(ready\n); $| = 1; print q(); sleep 1000 while 1'`
	const byItself = `perl -e 'use POSIX; $SIG{TERM} = q(IGNORE); $| = 1; ` +
		`syscall(272, 0x20000000) == 0 or die $!; pipe(my $r, my $w); if (!fork) { if (!fork) { setsid(); ` +
		`if (!fork) { syswrite $w, q(x); sleep 1000 while 1 } exit } 1 while wait > 0; ` +
		`sleep 1000 while 1 } sysread $r, my $b, 1; print qq(ready\n); sleep 1000 while 1'`
	for name, command := range map[string]string{
		"unshare":        unshared + deaf,
		"three deep":     unshared + unshared + unshared + deaf,
		"without a proc": "unshare --pid --fork unshare --pid --fork " + deaf,
		"a finite in it": unshared + `"$0" -- ` + deaf,
		"finites three deep": `"$0" --unshare pid,mount -- "$0" --unshare ` +
			`pid -- "$0" --unshare pid,mount -- ` + deaf,
		"calls it itself": byItself,
		"an orphan": `sh -c 'setsid unshare --pid --fork --mount-proc sh -c ` +
			`"trap : TERM; echo ready; sleep 1000; sleep 1000" & exec sleep 1000'`,
	} {
		for _, options := range []string{"", "--unshare pid,mount", "--cgroup off", "--unshare pid"} {
			t.Run(name+"/"+options, func(t *testing.T) {
				t.Parallel()
				r := scripted(t, stretch(`exec "$0" $2 -t 2s -k 200ms -- `)+command, options)
				r.want(t, 124)
				if r.stdout != "ready\n" {
					t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
				}
			})
		}
	}
}

// The orphans of a command in a container are the inner finite's, which reaps
// them, and ends them with the command, by itself or by the deadline; the container's own init
// never sees one, and goes on.
func TestJoinedOrphans(t *testing.T) {
	for name, tt := range map[string]struct{ options, command, want string }{
		"reaped": {"", `for i in 1 2 3 4 5; do (setsid sh -c : &); done; exit 3`, "3"},
		"left": {
			stretch("-k 200ms"), `trap "" TERM; for i in 1 2 3; do (setsid sleep 1000 &); done; exit 4`, "4",
		},
		"deadline": {
			stretch("-t 500ms -k 200ms"),
			`trap "" TERM; for i in 1 2 3; do (setsid sleep 1000 &); done; sleep 1000`, "124",
		},
		"nested": {
			stretch("-t 1s -k 200ms"),
			`unshare --pid --fork --mount-proc sh -c ` +
				`"trap : TERM; (setsid sleep 1000 &); sleep 1000; sleep 1000"`, "124",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := inContainer(t, `container --net; "$finite" $1 --join $c -- sh -c "$2"; `+
				`echo $?; alive; finish`, tt.options, tt.command)
			r.want(t, 0)
			if want := tt.want + "\n(sleep) S\n"; r.stdout != want {
				t.Errorf("stdout %q, want %q\nstderr: %s", r.stdout, want, r.stderr)
			}
		})
	}
}

// Who goes into another's PID namespace by setns(2) and becomes an orphan there,
// falls to that one's init. It is no descendant any more; but it is in the command's cgroup still,
// and dies with that. The container, in another, does not.
func TestMovedAwayByNsenter(t *testing.T) {
	needCgroup(t)
	deadline := stretch("-t 1s -k 200ms")
	for _, options := range []string{"", deadline} {
		ends := map[string]string{"": "exit 5", deadline: "sleep 1000"}[options]
		r := inContainer(t, `container; mkfifo "$dir/in"; export c dir
"$finite" --cgroup require -k `+stretch("300ms")+` $1 -- sh -c 'nsenter -t $c -p -m -F sh -c "
(setsid sh -c \"trap : TERM; echo in; sleep 999; sleep 999\" >$dir/in &); : " & read -r in <"$dir/in";
'"$2"; echo $?; alive | grep -v Z; finish`, options, ends)
		want := map[string]string{"": "5", deadline: "124"}[options] + "\n(sleep) S\n"
		if r.want(t, 0); r.stdout != want {
			t.Errorf("%s: stdout %q, want %q\nstderr: %s", options, r.stdout, want, r.stderr)
		}
	}
}

// Where a short-lived process was PID 1 of the namespace, nothing could be started in
// it any more, orphans had no init, and signals got lost. With --unshare pid it has one that stays
// as long as anybody.
func TestNamespaceHasARealInit(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		const script = `trap 'echo told; exit 6' TERM
for i in $(seq 30); do (setsid sh -c "exit $i" &); done; (sleep 1000 & exec setsid true)
while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do :; done; sh -c 'echo "started after them"'
grep -h '^PPid:' /proc/[0-9]*/status | sort -u | grep -c '^PPid:.1$'; while :; do sleep 0.05; done`
		c := inBox(t, m, "-k", stretch("300ms"), "--", "sh", "-c", script)
		c.stdout.await(t, "started after them\n1\n")
		c.signal(unix.SIGTERM)
		r := c.wait()
		r.want(t, 6)
		if !strings.HasSuffix(r.stdout, "told\n") {
			t.Errorf("stdout %q", r.stdout)
		}
	})
}

// needCgroup returns this process's own cgroup v2.
func needCgroup(t *testing.T) string {
	t.Helper()
	mount := testkit.Unified(t)
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		missing(t, "%v", err)
	}
	for line := range strings.Lines(string(text)) {
		path, found := strings.CutPrefix(line, "0::")
		if dir := filepath.Join(mount, strings.TrimSpace(path)); found && slices.Contains(procs(dir), os.Getpid()) {
			return dir
		}
	}
	missing(t, "this process's cgroup v2 is not below %s", mount)
	return ""
}

// As under systemd-run --scope: a cgroup with a command that has made namespaces, three
// deep, with finite around, within and instead of them. After the deadline nobody is left in it,
// and no cgroup below it.
func TestScopeLikeCgroup(t *testing.T) {
	needCommand(t, "unshare")
	parent := needCgroup(t)
	const unshared = "unshare --pid --fork --mount-proc "
	const deaf = ` sh -c 'trap "" TERM; (setsid sleep 1000 &); setsid sleep 1000 & echo ready; sleep 1000'`
	for name, command := range map[string]string{
		"around": stretch(`"$finite" -t 1s -k 200ms -- `) + unshared + unshared + unshared + deaf,
		"within": unshared + unshared + unshared + stretch(`"$finite" -t 1s -k 200ms --`) + deaf,
		"instead": stretch(`"$finite" --unshare pid,mount -- "$finite" --unshare pid,mount -- `+
			`"$finite" --unshare pid,mount -t 1s -k 200ms --`) + deaf,
		"each": stretch(`"$finite" -t 2s --unshare pid,mount -- `+
			`"$finite" --unshare pid,mount,cgroup -- "$finite" --unshare pid,mount -t 1s -k 200ms --`) + deaf,
	} {
		t.Run(name, func(t *testing.T) {
			scope := filepath.Join(parent, fmt.Sprintf("finitetest-%d-%s", os.Getpid(), name))
			if err := os.Mkdir(scope, 0o755); err != nil {
				missing(t, "%v", err)
			}
			t.Cleanup(func() { _ = os.Remove(scope) })
			r := scripted(t, `finite=$0; echo 0 >"$2/cgroup.procs" || exit 9; exec `+command, scope)
			r.want(t, 124)
			if !strings.HasPrefix(r.stdout, "ready\n") {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
			wantEmptyCgroup(t, scope)
		})
	}
}

// wantEmptyCgroup waits for the kernel to see that nobody is in a cgroup, and for what is below it
// to be gone.
func wantEmptyCgroup(t *testing.T, dir string) {
	t.Helper()
	procs, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	events, _ := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	if len(procs) > 0 {
		t.Errorf("in it: %q (%q)", procs, events)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// A start that fails leaves no cgroup behind.
func TestUnshareFailureLeavesNoCgroup(t *testing.T) {
	scope := filepath.Join(needCgroup(t), fmt.Sprintf("finitetest-%d-failures", os.Getpid()))
	if err := os.Mkdir(scope, 0o755); err != nil {
		missing(t, "%v", err)
	}
	t.Cleanup(func() { _ = os.Remove(scope) })
	r := scripted(t, `echo 0 >"$2/cgroup.procs" || exit 9;
for o in "--join 4194305" "--join /etc/passwd" "--hostname box" "--unshare pid,bogus" \
"--unshare user,pid,mount,uts -- no-such-command" "--unshare pid -- /etc/passwd"; do
"$0" -t 1h --cgroup require $o -- true 2>&-; echo $?; done`, scope)
	r.want(t, 0)
	if r.stdout != "125\n125\n125\n125\n127\n126\n" {
		t.Errorf("stdout %q", r.stdout)
	}
	wantEmptyCgroup(t, scope)
}
