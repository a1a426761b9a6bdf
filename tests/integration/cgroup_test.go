package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// delegate lets uid 65534 make cgroups in dir, and move processes about in it (cgroups(7),
// "Delegation").
func delegate(t *testing.T, dir string) {
	t.Helper()
	for _, file := range []string{"", "cgroup.procs"} {
		if err := os.Chown(filepath.Join(dir, file), 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
}

// leaves lists what finite has made in a cgroup.
func leaves(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "finite-") {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

func wantNoLeaf(t *testing.T, dir string) {
	t.Helper()
	if left := leaves(t, dir); len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
}

// startIn runs finite with args in a new cage, in the cgroup dir.
func startIn(t *testing.T, dir string, m mode, args ...string) *caged {
	t.Helper()
	if m == asNobody {
		delegate(t, dir)
	}
	return startSpec(t, cageSpec{Mode: m, Args: append([]string{finiteBin}, args...)}, within(t, dir))
}

// ownLeaf is the beginning of a script whose $1 is finite's cgroup: it sets $leaf.
const ownLeaf = `leaf=$1/$(sed -n 's,^0::.*/,,p' /proc/self/cgroup); `

// The command runs in a cgroup of its own, which is gone when finite is, however that came about.
func TestCommandHasItsOwnCgroup(t *testing.T) {
	const deaf = `trap "" TERM; `
	tree := script(t, "tree.pl")
	for _, tt := range []struct {
		name    string
		options []string
		script  string
		stop    bool // SIGTERM when it is ready
		status  int
	}{
		{"exit", []string{"--cgroup", "auto", "-t", "1h"}, `echo ready; exit 7`, false, 7},
		{"required", []string{"--cgroup", "require"}, `echo ready; exit 7`, false, 7},
		{"stop", []string{"--stop-grace", "1h"}, `echo ready; exec sleep 1000`, true, 143},
		{"deadline", []string{"--cgroup", "auto", "-t", stretch("1s")}, `echo ready; exec sleep 1000`, false, 124},
		{
			"escapees",
			[]string{"--cgroup", "auto", "-t", stretch("1s"), "-k", stretch("200ms"), "--give-up", stretch("5s")},
			deaf + `exec perl ` + tree + ` MARK 50 4`, false, 124,
		},
		{
			"escapees at once",
			[]string{"--cgroup", "auto", "-t", stretch("1s"), "-k", "0", "--give-up", stretch("5s")},
			deaf + `exec perl ` + tree + ` MARK 50 4`, false, 124,
		},
		{"deep", []string{"--stop-grace", stretch("100ms")}, deaf + `mkdir -p $leaf/a/b/c $leaf/d
for d in $leaf/a/b/c $leaf/a/b $leaf/a $leaf/d; do
setsid sh -c 'echo $$ >'$d'/cgroup.procs; echo in >&3; exec sleep 1000' 3>&1 &
done | head -n 4
echo ready; while :; do sleep 1000; done`, true, 137},
		{
			"empty ones below",
			[]string{"--cgroup", "auto", "-t", "1h"},
			`mkdir -p $leaf/a/b/c $leaf/d/e; echo ready; exit 2`, false, 2,
		},
		{
			"leftovers are terminated",
			[]string{"--cgroup", "auto", "-t", "1h"},
			`setsid sleep 1000 & echo ready; exit 4`, false, 4,
		},
		{
			"leftovers are killed",
			[]string{"--cgroup", "auto", "-t", "1h", "--leftovers", "kill"},
			deaf + `setsid sleep 1000 & echo ready; exit 4`, false, 4,
		},
		{
			"leftovers are waited for",
			[]string{"--cgroup", "auto", "-t", "1h", "--leftovers", "wait"},
			`setsid sleep 0.2 & echo ready; exit 4`, false, 4,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atOnce(t, allModes, func(t *testing.T, m mode) {
				dir := room(t)
				args := append(tt.options, "--", "sh", "-c", ownLeaf+`echo "in $leaf"; `+tt.script, "sh", dir)
				c := startIn(t, dir, m, args...)
				c.stdout.await(t, "ready")
				if tt.stop {
					if n := len(leaves(t, dir)); n != 1 {
						t.Errorf("%d cgroups while it runs, want 1", n)
					}
					c.signal(unix.SIGTERM)
				}
				r := c.wait()
				r.want(t, tt.status)
				if !strings.HasPrefix(r.stdout, "in "+dir+"/finite-") {
					t.Errorf("stdout %q: it is not in a cgroup of its own", r.stdout)
				}
				if strings.Contains(r.stderr, "gave up") || strings.Contains(r.stderr, "cgroup") {
					t.Errorf("stderr: %s", r.stderr)
				}
				wantNoLeaf(t, dir)
			})
		})
	}
	for _, tt := range []struct {
		name    string
		options []string
	}{
		{"off", []string{"--cgroup", "off", "-t", "1h"}},
		{"plain", []string{"-t", "1h", "-k", stretch("1s")}},
		{"no ending is foreseen", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atOnce(t, allModes, func(t *testing.T, m mode) {
				dir := room(t)
				r := startIn(t, dir, m, append(tt.options, "--", "sh", "-c",
					ownLeaf+`echo "in $leaf"`, "sh", filepath.Dir(dir))...).wait()
				r.want(t, 0)
				if want := "in " + dir + "\n"; r.stdout != want || r.stderr != "" {
					t.Errorf("stdout %q, want %q; stderr %q", r.stdout, want, r.stderr)
				}
			})
		})
	}
}

// A command that cannot be started leaves no cgroup.
func TestNoCgroupAfterAFailedStart(t *testing.T) {
	for command, status := range map[string]int{"no-such-command": 127, "/no/such": 127, "/etc/passwd": 126} {
		for _, option := range []string{"auto", "require"} {
			forModes(t, allModes, func(t *testing.T, m mode) {
				dir := room(t)
				r := startIn(t, dir, m, "--cgroup", option, "-t", "1h", "--", command).wait()
				r.want(t, status)
				if strings.Count(r.stderr, "\n") != 1 || !strings.Contains(r.stderr, "cannot run") {
					t.Errorf("stderr: %q", r.stderr)
				}
				wantNoLeaf(t, dir)
			})
		}
	}
}

// What is left alone goes on, in the cgroup, which the next one in the same place removes when
// nobody is in it any more.
func TestCgroupOfWhatIsLeft(t *testing.T) {
	forModes(t, []mode{asSubreaper, asNobody}, func(t *testing.T, m mode) {
		dir := room(t)
		r := startIn(t, dir, m, "--leftovers", "leave", "-t", "1h", "--", "true").wait()
		r.want(t, 0)
		wantNoLeaf(t, dir)
		r = startIn(t, dir, m, "--leftovers", "leave", "-t", "1h", "--", "sh", "-c",
			`setsid sleep 1000 & until grep -qs sleep /proc/$!/comm; do :; done; exit 4`).wait()
		if r.status != 4 || r.stderr != "" || len(r.left) != 1 || !strings.Contains(r.left[0], "(sleep)") {
			t.Errorf("status %d, left %v, stderr %q; want 4 and the sleep", r.status, r.left, r.stderr)
		}
		left := leaves(t, dir)
		if len(left) != 1 {
			t.Fatalf("cgroups: %v, want 1", left)
		}
		awaitEmpty(t, left[0]) // the cage took the sleep with it
		startIn(t, dir, m, "--cgroup", "auto", "-t", "1h", "--", "true").wait().want(t, 0)
		wantNoLeaf(t, dir)
	})
}

// awaitEmpty waits until nobody is in a cgroup v2 and those below.
func awaitEmpty(t *testing.T, dir string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience(); {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		if err != nil || strings.Contains(string(text), "populated 0") {
			return
		}
	}
	t.Fatalf("somebody is still in %s", dir)
}

// sleeperIn starts a process in a cgroup v2 that has nothing to do with any finite. It is killed
// with the test.
func sleeperIn(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	within(t, dir)(cmd)
	if err := startLocked(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

// The front is killed: the keeper ends the command and removes the cgroup. As PID 1 nobody is left
// to do that: the cgroup stays, and whoever is in it. The next finite in the same place removes it
// when it is empty, and not before.
func TestCgroupOfAKilledFinite(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		dir := room(t)
		if m == asNobody {
			delegate(t, dir)
		}
		c := startSpec(t, cageSpec{Mode: m, Late: true, Args: []string{
			finiteBin, "--cgroup", "auto", "-t", "1h", "--", "sh", "-c",
			ownLeaf + `mkdir -p $leaf/a/b; echo ready; exec sleep 1000`, "sh", dir,
		}}, within(t, dir))
		c.stdout.await(t, "ready")
		c.signal(unix.SIGKILL)
		c.wait()
		if m != asInit {
			wantNoLeaf(t, dir)
			return
		}
		left := leaves(t, dir)
		if len(left) != 1 {
			t.Fatalf("cgroups: %v, want 1", left)
		}
		somebody := sleeperIn(t, filepath.Join(left[0], "a"))
		for range 2 {
			startIn(t, dir, m, "--cgroup", "auto", "-t", "1h", "--", "true").wait().want(t, 0)
			if now := leaves(t, dir); !slices.Equal(now, left) ||
				!slices.Contains(procs(filepath.Join(left[0], "a")), somebody.Process.Pid) {
				t.Fatalf("cgroups: %v, with %v; want %v, with %d",
					now, procs(filepath.Join(left[0], "a")), left, somebody.Process.Pid)
			}
		}
		_ = somebody.Process.Kill()
		_ = somebody.Wait()
		awaitEmpty(t, left[0])
		startIn(t, dir, m, "--cgroup", "auto", "-t", "1h", "--", "true").wait().want(t, 0)
		wantNoLeaf(t, dir)
	})
}

// A process that was moved to another cgroup used to escape a kill, or a wait, that
// goes by cgroup. The cgroup is a fast path here, never the boundary.
func TestMovedToAnotherCgroup(t *testing.T) {
	needCommand(t, "perl")
	// Everybody moves, the command included; or nobody but the others, one of whom is far down.
	const away = `use POSIX qw(setsid); $| = 1; $SIG{TERM} = "IGNORE"; my ($to, $all) = @ARGV;
pipe my $up, my $down;
sub away { open my $f, ">", "$to/cgroup.procs" or die $!; syswrite $f, "0" or die $! }
away() if $all;
for (1 .. 20) { next if fork; setsid(); exit if fork; away(); syswrite $down, "x"; sleep 1000 while 1 }
sysread $up, my $c, 1 for 1 .. 20; print "ready\n"; sleep 1000 while 1`
	for _, all := range []string{"", "all"} {
		for name, options := range map[string][]string{
			"deadline":          {"--cgroup", "auto", "-t", stretch("1s"), "-k", stretch("100ms")},
			"deadline, at once": {"--cgroup", "auto", "-t", stretch("1s"), "-k", "0"},
			"stop":              {"--stop-grace", stretch("100ms"), "-t", "1h"},
		} {
			t.Run(name+" "+all, func(t *testing.T) {
				atOnce(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
					dir, other := room(t), room(t)
					c := startIn(t, dir, m, append(options, "--", "perl", "-e", away, other, all)...)
					c.stdout.await(t, "ready")
					status := 124
					if name == "stop" {
						status = 137
						if n := len(procs(other)); n < 20 { // who forks for another to get away may be there for a moment
							t.Errorf("%d processes have moved, want 20", n)
						}
						c.signal(unix.SIGTERM)
					}
					r := c.wait()
					r.want(t, status)
					if left := procs(other); len(left) > 0 {
						t.Errorf("left in the other cgroup: %v", left)
					}
					if strings.Contains(r.stderr, "gave up") {
						t.Errorf("stderr: %s", r.stderr)
					}
					wantNoLeaf(t, dir)
				})
			})
		}
	}
	// The command itself ends, and what moved is what it leaves.
	for _, policy := range []string{"terminate", "kill"} {
		t.Run("leftovers "+policy, func(t *testing.T) {
			atOnce(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
				dir, other := room(t), room(t)
				r := startIn(t, dir, m, "--cgroup", "auto", "-t", "1h",
					"-k", stretch("100ms"), "--leftovers", policy, "--", "sh", "-c",
					`trap "" TERM; echo $$ >"$1/cgroup.procs"; setsid sleep 1000 & exit 4`, "sh", other).wait()
				r.want(t, 4)
				if !strings.Contains(r.stderr, "killed 1 process") {
					t.Errorf("stderr: %s", r.stderr)
				}
				wantNoLeaf(t, dir)
			})
		})
	}
}

// Whoever was moved into the command's cgroup belongs to the tree, wherever he descends from:
// finite waits for his end, and sees to it.
func TestStrangerInTheCgroup(t *testing.T) {
	// The stranger is a sibling of finite.
	for _, tt := range []struct {
		name     string
		stranger string // what it is
		options  string
		command  string // which moves it
		status   string
		ended    string // the stranger's status
	}{
		{"asked to end", "sleep 1000", "--cgroup auto -t 1h", "exit 5", "5", "143"},
		{
			"deaf", `trap "" TERM; while :; do sleep 1000; done`, stretch("--cgroup auto -t 1h -k 200ms"),
			"exit 5", "5", "137",
		},
		{"killed", "sleep 1000", "-t 1h --leftovers kill", "exit 5", "5", "137"},
		{
			"deadline", `trap "" TERM; while :; do sleep 1000; done`, stretch("--cgroup auto -t 500ms -k 0"),
			"exec sleep 1000", "124", "137",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := room(t)
			const outer = `sh -c "$4" & stranger=$!
"$1" $3 -- sh -c '` + ownLeaf + `echo $2 >$leaf/cgroup.procs; '"$5" sh "$2" $stranger
echo "finite $?"; wait $stranger; echo "stranger $?"; wait`
			r := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{
				"/bin/sh", "-c", outer, "sh", finiteBin, dir, tt.options, tt.stranger, tt.command,
			}}, within(t, dir)).wait()
			if want := "finite " + tt.status + "\nstranger " + tt.ended + "\n"; r.stdout != want {
				t.Errorf("stdout %q, want %q\nstderr: %s", r.stdout, want, r.stderr)
			}
			wantNoLeaf(t, dir)
		})
	}
	// One from outside the PID namespace has no number here. The kill reaches him.
	for _, options := range [][]string{
		{"-t", stretch("1s"), "-k", "0", "--cgroup", "auto"}, {"--stop-grace", stretch("100ms")},
	} {
		atOnce(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
			dir := room(t)
			c := startIn(t, dir, m, append(options, "--", "sh", "-c",
				`trap "" TERM; echo ready; while :; do sleep 1000; done`)...)
			c.stdout.await(t, "ready")
			somebody := sleeperIn(t, leaves(t, dir)[0])
			status := 124
			if options[0] != "-t" {
				status = 137
				c.signal(unix.SIGTERM)
			}
			c.wait().want(t, status)
			if err := somebody.Wait(); err == nil || err.Error() != "signal: killed" {
				t.Errorf("the stranger ended with %v", err)
			}
			wantNoLeaf(t, dir)
		})
	}
}

// layouts are what cgroups look like to finite. setup is run in a mount namespace of finite's own;
// $mount is where cgroup2 is.
var layouts = []struct {
	name  string
	setup string
	deny  *denial
	leaf  bool // the command can have a cgroup
	tree  bool // a subreaper can find its descendants
}{
	{name: "as it is", setup: ":", leaf: true, tree: true},
	{name: "unified", setup: onlyUnified, leaf: true, tree: true},
	{name: "hybrid", setup: hybrid, leaf: true, tree: true},
	{
		name: "elsewhere", leaf: true, tree: true,
		setup: `umount -l /sys/fs/cgroup; mount -t tmpfs none /mnt; ` +
			`mkdir "/mnt/a b"; mount -t cgroup2 none "/mnt/a b"`,
	},
	{name: "namespace", setup: onlyUnified, leaf: true, tree: true},
	{name: "namespace, hybrid", setup: hybrid, leaf: true, tree: true},
	{name: "namespace, with the mounts of another", setup: ":", tree: true},
	{name: "namespace, read-only", setup: onlyUnified + `; mount -o remount,bind,ro /sys/fs/cgroup`, tree: true},
	{name: "read-only", setup: `mount -o remount,bind,ro "$mount"`, tree: true},
	{name: "not mounted", setup: `umount -l /sys/fs/cgroup`, tree: true},
	{name: "covered", setup: `mount -t tmpfs none "$mount"`, tree: true},
	{name: "no proc", setup: `mount -t tmpfs none /proc`},
	{
		name: "clone3 with ENOSYS", setup: ":", leaf: true, tree: true,
		deny: &denial{What: []string{"clone3"}, Errno: uint16(unix.ENOSYS)},
	},
	{
		name: "clone3 with EPERM", setup: ":", leaf: true, tree: true,
		deny: &denial{What: []string{"clone3"}, Errno: uint16(unix.EPERM)},
	},
}

const (
	onlyUnified = `umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup`
	hybrid      = `umount -l /sys/fs/cgroup; mount -t tmpfs none /sys/fs/cgroup; ` +
		`mkdir /sys/fs/cgroup/unified; mount -t cgroup2 none /sys/fs/cgroup/unified`
)

// startLaidOut runs finite with args in a new cage, in the cgroup dir, with cgroups as in a layout.
func startLaidOut(t *testing.T, dir string, m mode, name string, args ...string) *caged {
	t.Helper()
	needCommand(t, "mount")
	i := slices.IndexFunc(layouts, func(l struct {
		name  string
		setup string
		deny  *denial
		leaf  bool
		tree  bool
	},
	) bool {
		return l.name == name
	})
	front := []string{needCommand(t, "unshare"), "--mount", "--propagation", "private"}
	if strings.HasPrefix(name, "namespace") {
		front = append(front, "--cgroup")
	}
	front = append(front, "sh", "-c", `set -e; mount=$1; shift; `+layouts[i].setup+`; exec "$@"`,
		"sh", filepath.Dir(dir), finiteBin)
	return startSpec(t, cageSpec{Mode: m, Deny: layouts[i].deny, Args: append(front, args...)}, within(t, dir))
}

// Whatever finite finds of cgroups, the end is the same. What it has to do without is said once, to
// who asks for everything.
func TestCgroupLayouts(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			atOnce(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
				deaf := `trap "" TERM; setsid sleep 1000 & (setsid sleep 1000 &); ` +
					`echo ready; while :; do sleep 1000; done`
				if !l.tree && m != asInit {
					deaf = `trap "" TERM; echo ready; exec sleep 1000`
				}
				said := make(map[string]string)
				for _, cgroup := range []string{"auto", "off", "require"} {
					for _, verbosity := range []string{"", "-vv"} {
						dir := room(t)
						options := []string{"--cgroup", cgroup, "--stop-grace", stretch("100ms")}
						if verbosity != "" {
							options = append(options, verbosity)
						}
						c := startLaidOut(t, dir, m, l.name, append(options, "--", "sh", "-c", deaf)...)
						if cgroup == "require" && !l.leaf {
							r := c.wait()
							r.want(t, 125)
							if verbosity == "" && (strings.Count(r.stderr, "\n") != 1 ||
								!strings.Contains(r.stderr, "--cgroup require")) {
								t.Errorf("stderr %q, want one line that names --cgroup require", r.stderr)
							}
							if r.stdout != "" {
								t.Errorf("the command was started: %q", r.stdout)
							}
							wantNoLeaf(t, dir)
							continue
						}
						c.stdout.await(t, "ready")
						has := 0
						for _, leaf := range leaves(t, dir) {
							has += min(len(procs(leaf)), 1)
						}
						if want := l.leaf && cgroup != "off"; (has == 1) != want {
							t.Errorf("--cgroup %s: %d cgroups with somebody in them; one is to be expected: %v", cgroup, has, want)
						}
						c.signal(unix.SIGTERM)
						r := c.wait()
						r.want(t, 137)
						wantNoLeaf(t, dir)
						lines := 0
						for line := range strings.Lines(r.stderr) {
							if strings.Contains(line, "no cgroup of its own") {
								lines++
							}
						}
						want := 0
						if verbosity == "-vv" && cgroup == "auto" && !l.leaf {
							want = 1
						}
						if lines != want {
							t.Errorf("--cgroup %s %s: said %d times that there is no cgroup, want %d:\n%s",
								cgroup, verbosity, lines, want, r.stderr)
						}
						if verbosity == "" {
							// A shell that waits may yet reap a child that was killed with it.
							said[cgroup] = strings.Replace(r.stderr, "killed 2 processes", "killed 3 processes", 1)
						}
						if strings.Contains(r.stderr, "gave up") {
							t.Errorf("stderr: %s", r.stderr)
						}
					}
				}
				if !l.tree { // what there is no /proc for is said if it takes a moment to end
					for k, text := range said {
						said[k] = strings.Replace(text, "finite: cannot signal the whole tree: "+
							"/proc is not mounted, or not this PID namespace's\n", "", 1)
					}
				}
				if said["auto"] != said["off"] {
					t.Errorf("with a cgroup, or for want of one:\n%swithout:\n%s", said["auto"], said["off"])
				}
			})
		})
	}
	// Who may not make any.
	t.Run("not delegated", func(t *testing.T) {
		for _, options := range [][]string{{"--cgroup", "auto"}, {"--cgroup", "require"}} {
			dir := room(t)
			args := append([]string{finiteBin, "-vv", "-t", stretch("500ms"), "-k", "0"}, options...)
			r := startSpec(t, cageSpec{
				Mode: asNobody, Args: append(args, "--", "sh", "-c", "setsid sleep 1000 & echo ready; sleep 1000"),
			}, within(t, dir)).wait()
			wantNoLeaf(t, dir)
			if options[1] == "require" {
				r.want(t, 125)
				if r.stdout != "" || !strings.Contains(r.stderr, "--cgroup require") ||
					!strings.Contains(r.stderr, "permission denied") {
					t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
				}
				continue
			}
			r.want(t, 124)
			if r.stdout != "ready\n" || strings.Count(r.stderr, "no cgroup of its own") != 1 {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
		}
	})
}

// Somebody has killed finite's own cgroup before, when nobody was in it. The kernel (6.18, and
// others since 6.13) then kills whoever is cloned from there into another cgroup
// (CLONE_INTO_CGROUP): it compares the counts of kills of the one and the other.
func TestCgroupThatWasKilledBefore(t *testing.T) {
	for _, option := range []string{"auto", "off", "require"} {
		forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
			dir := room(t)
			if err := os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
			args := []string{finiteBin, "--cgroup", option, "-t", "1h", "--", "sh", "-c", "echo started; exit 7"}
			r := startSpec(t, cageSpec{Mode: m, Args: joins(dir, args...)}, nil).wait() // not cloned into it
			wantNoLeaf(t, dir)
			if option == "require" && r.status == 125 && r.stdout == "" &&
				strings.Contains(r.stderr, "--cgroup require") {
				return // it cannot be had, then
			}
			r.want(t, 7)
			if r.stdout != "started\n" || r.stderr != "" {
				t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
			}
		})
	}
}

// Many who start at the same time in the same cgroup do not take each other's away.
func TestCgroupManyAtOnce(t *testing.T) {
	dir := room(t)
	const many = `i=0; while [ $i -lt 200 ]; do "$@" & i=$((i+1)); done; wait`
	c := startSpec(t, cageSpec{Mode: asSubreaper, Args: []string{
		"/bin/sh", "-c", many, "sh", finiteBin, "-vv", "--cgroup", "require",
		"--", "sh", "-c", `sed -n 's,^0::.*/,,p' /proc/self/cgroup`,
	}}, within(t, dir))
	r := c.wait()
	r.want(t, 0)
	names := strings.Fields(r.stdout)
	slices.Sort(names)
	if len(names) != 200 || len(slices.Compact(names)) != 200 {
		t.Errorf("%d commands ran in cgroups, %d in different ones; want 200\nstderr: %s",
			len(names), len(slices.Compact(names)), r.stderr)
	}
	wantNoLeaf(t, dir)
}

// A command may do to its cgroup what it wants. It ends.
func TestCgroupOfAHostileCommand(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"removed", `echo $$ >$1/cgroup.procs; rmdir $leaf`},
		{
			"frozen", `(setsid sh -c "sleep 1000 & echo 1 >$leaf/cgroup.freeze; sleep 1000" &); ` +
				`until grep -qs "frozen 1" $leaf/cgroup.events 2>&1; do :; done`,
		},
		{
			"frozen below",
			`mkdir $leaf/x; echo 1 >$leaf/x/cgroup.freeze; ` +
				`setsid sh -c "echo \$\$ >$leaf/x/cgroup.procs" & until grep -qs . $leaf/x/cgroup.procs; do :; done`,
		},
		{
			"frozen elsewhere", `mkdir $1/x; setsid sh -c "echo \$\$ >$1/x/cgroup.procs; sleep 1000" & ` +
				`until grep -qs . $1/x/cgroup.procs; do :; done; echo 1 >$1/x/cgroup.freeze`,
		},
		{
			"threaded", `mkdir $leaf/x; echo threaded >$leaf/x/cgroup.type; ` +
				`setsid sh -c "echo \$\$ >$leaf/x/cgroup.threads; sleep 1000" & `,
		},
		{"threaded itself", `echo threaded >$leaf/cgroup.type; setsid sleep 1000 &`},
		{
			"limits", `echo 0 >$leaf/cgroup.max.descendants; echo 0 >$1/cgroup.max.descendants; ` +
				`echo 0 >$1/cgroup.max.depth`,
		},
		{"modes", `chmod 0 $leaf $leaf/*; chmod 0 $1`},
		{"owner", `chown -R 65534 $leaf`},
		// As a subreaper it must not kill itself.
		{"finite moved in", `echo $PPID >$leaf/cgroup.procs; echo $$ >$1/cgroup.procs`},
		{"many", `i=0; while [ $i -lt 500 ]; do mkdir $leaf/$i $leaf/$i/x; i=$((i+1)); done`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atOnce(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
				dir := room(t)
				c := startIn(t, dir, m, "--stop-grace", stretch("100ms"), "-k", stretch("100ms"), "--", "sh", "-c",
					`trap "" TERM; `+ownLeaf+`setsid sleep 1000 & (`+tt.script+
						`) 2>/dev/null; echo ready; while :; do sleep 1000; done`, "sh", dir)
				if tt.name == "frozen" {
					awaitFrozen(t, dir)
				} else {
					c.stdout.await(t, "ready")
				}
				c.signal(unix.SIGTERM)
				r := c.wait()
				r.want(t, 137)
				if strings.Contains(r.stderr, "gave up") {
					t.Errorf("stderr: %s", r.stderr)
				}
				wantNoLeaf(t, dir)
			})
		})
	}
}

// awaitFrozen waits until the only leaf in dir is frozen.
func awaitFrozen(t *testing.T, dir string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < patience(); {
		for _, leaf := range leaves(t, dir) {
			events, _ := os.ReadFile(filepath.Join(leaf, "cgroup.events"))
			if strings.Contains(string(events), "frozen 1") {
				return
			}
		}
	}
	t.Fatal("it does not freeze")
}

// Hundreds who got away are gone at the end, by way of their cgroup and without one.
func TestManyEscapees(t *testing.T) {
	needCommand(t, "perl")
	const escapees = `use POSIX (); $SIG{TERM} = "IGNORE"; pipe my $up, my $down;
for (1 .. 300) { next if fork; exit if fork; POSIX::setsid(); close $up; syswrite $down, "x";
close $down; close STDOUT; sleep 10 while 1 }
close $down; 1 while sysread $up, my $c, 100; syswrite STDOUT, "ready\n"; sleep 10 while 1`
	for _, cgroup := range []string{"require", "off"} {
		t.Run(cgroup, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				dir := room(t)
				c := startIn(t, dir, m, "--cgroup", cgroup, "--stop-grace", "0",
					"-k", "0", "--give-up", stretch("5s"), "--", "perl", "-e", escapees)
				c.stdout.await(t, "ready")
				c.signal(unix.SIGTERM)
				r := c.wait()
				r.want(t, 137)
				var killed int
				if i := strings.Index(r.stderr, "killed "); i >= 0 {
					_, _ = fmt.Sscanf(r.stderr[i:], "killed %d process", &killed)
				}
				if killed < 300 || strings.Contains(r.stderr, "gave up") {
					t.Errorf("stderr: %s", r.stderr)
				}
				wantNoLeaf(t, dir)
			})
		})
	}
}

// A command that freezes its cgroup freezes no process of finite, in namespaces neither.
func TestFrozenInNamespaces(t *testing.T) {
	needRoot(t)
	for _, kinds := range []string{"pid,mount", "pid,mount,cgroup"} {
		dir := room(t)
		const freeze = `for f in "$1"/finite-*/cgroup.freeze; do echo 1 >"$f"; done; sleep 1000`
		r := startIn(t, dir, asSubreaper, "--unshare", kinds, "--cgroup", "require",
			"-t", stretch("1s"), "-k", stretch("100ms"), "--", "sh", "-c", freeze, "sh", dir).wait()
		if r.want(t, 124); strings.Contains(r.stderr, "keeper") {
			t.Errorf("%s: stderr %q", kinds, r.stderr)
		}
		wantNoLeaf(t, dir)
	}
}

// The root of a cgroup namespace is the command's own cgroup.
func TestCgroupNamespace(t *testing.T) {
	needRoot(t)
	dir := room(t)
	r := startIn(t, dir, asSubreaper, "--unshare", "pid,mount,cgroup",
		"--cgroup", "require", "--", "sed", "-n", "s/^0:://p", "/proc/self/cgroup").wait()
	if r.want(t, 0); r.stdout != "/\n" {
		t.Errorf("stdout %q", r.stdout)
	}
	wantNoLeaf(t, dir)
}

// Where statx(2) is refused there is no cgroup, and the reason is that one.
func TestCgroupWithoutStatx(t *testing.T) {
	for option, want := range map[string]string{
		"auto":    "debug: no cgroup of its own for the command: ",
		"require": "--cgroup require: ",
	} {
		for errno, why := range map[unix.Errno]string{
			unix.EPERM: "statx: operation not permitted", unix.ENOSYS: "statx: function not implemented",
		} {
			r := startSpec(t, cageSpec{
				Mode: asSubreaper, Deny: &denial{What: []string{"statx"}, Errno: uint16(errno)},
				Args: []string{finiteBin, "-vv", "-t", "1h", "--cgroup", option, "--", "true"},
			}, within(t, room(t))).wait()
			if !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, why+"\n") {
				t.Errorf("%s: stderr %q, want %q and %q", option, r.stderr, want, why)
			}
		}
	}
}
