package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// deafEscapee does not hear SIGTERM, and one process of it is an orphan in a session of its own.
const deafEscapee = `trap "" TERM; (setsid sleep 1000 &); echo ready; while :; do sleep 1000; done`

// shortEnding is the options of a run that is over in a few seconds whatever the command does.
func shortEnding() []string {
	return strings.Fields(stretch("--timeout 500ms --grace 200ms --give-up 20s"))
}

// endsDeafEscapee is finite in front of deafEscapee, with more options.
func endsDeafEscapee(options ...string) []string {
	args := append([]string{finiteBin}, shortEnding()...)
	return append(append(args, options...), "--", "sh", "-c", deafEscapee)
}

// wantEnded checks that the deadline was enforced on everything, and that finite did not go to
// pieces over it.
func (r result) wantEnded(t *testing.T) {
	t.Helper()
	r.want(t, 124)
	wantCalm(t, r)
	if strings.Contains(r.stderr, "gave up") {
		t.Errorf("stderr: %s", r.stderr)
	}
}

// afterShell is a command that a shell becomes when it has prepared something. The command is "$@".
func afterShell(prepare string, args ...string) []string {
	return append([]string{"/bin/sh", "-c", prepare + "\n" + `exec "$@"`, "sh"}, args...)
}

// unprivileged is a command as a user whom no other test is.
func unprivileged(args ...string) []string {
	return append([]string{
		"/usr/bin/setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups",
	}, args...)
}

// privately is a command in a mount namespace of its own: what it does to /proc does not hide from
// the cage who is left.
func privately(args ...string) []string {
	return append([]string{"/usr/bin/unshare", "--mount"}, args...)
}

// Whatever finite has to do without, the deadline holds and nothing is left.
func TestDeadlineInHardship(t *testing.T) {
	needRoot(t)
	needCommand(t, "perl")
	needCommand(t, "setpriv")
	needCommand(t, "unshare")
	for _, tt := range []struct {
		name    string
		options []string
		// What a shell does before it becomes finite. It has a mount namespace of its own.
		prepare string
		as      func(args ...string) []string // the command that the shell becomes instead
	}{
		{name: "stdin is closed", prepare: `exec <&-`},
		{name: "stdin, stdout and stderr are closed", prepare: `exec <&- >&- 2>&-`},
		{name: "proc is not mounted", prepare: `mount -t tmpfs none /proc`},
		{
			name: "proc is not mounted, no leaf", prepare: `mount -t tmpfs none /proc`,
			options: []string{"--cgroup", "off"},
		},
		{name: "hidepid=2 and unprivileged", prepare: `mount -t proc -o hidepid=2 none /proc`, as: unprivileged},
		{name: "nothing can be written", prepare: `for m in $(cut -d" " -f5 /proc/self/mountinfo); do
mount -o remount,bind,ro "$m" || :; done 2>/dev/null
for d in / /tmp /run /dev /dev/shm /var/tmp .; do ! touch "$d/written" || exit 96; done 2>/dev/null`},
		{name: "dev is empty", prepare: `mount -t tmpfs none /dev`},
		{name: "dev is empty and stdin is closed", prepare: `mount -t tmpfs none /dev; exec <&-`},
		{
			name:    "dev is empty and stdin, stdout and stderr are closed",
			prepare: `mount -t tmpfs none /dev; exec <&- >&- 2>&-`,
		},
		{name: "2 MB of arguments and environment", prepare: `ulimit -s 65536`, as: func(args ...string) []string {
			const big = `$ENV{"BIG$_"} = "e" x 100000 for 1 .. 10; exec @ARGV, ("a" x 100000) x 10 or die`
			return append([]string{"/usr/bin/perl", "-e", big}, args...)
		}},
		{
			name:    "the monotonic clock is 100 years on",
			prepare: `exec unshare --time --monotonic 3155760000 --boottime 3155760000 "$@"`,
		},
		{
			name: "the monotonic clock begins now",
			prepare: `up=$(cut -d. -f1 /proc/uptime); ` +
				`exec unshare --time --monotonic -$up --boottime -$up "$@"`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atOnce(t, rootModes, func(t *testing.T, m mode) {
				args := endsDeafEscapee(tt.options...)
				if tt.as != nil {
					args = tt.as(args...)
				}
				begin := time.Now()
				r := startSpec(t, cageSpec{Mode: m, Args: privately(afterShell(tt.prepare, args...)...)}, nil).wait()
				r.wantEnded(t)
				if took := time.Since(begin); took < 700*time.Millisecond {
					t.Errorf("it was over after %v", took)
				}
			})
		})
	}
}

// In an image that holds a shell and nothing else, without /proc and without /dev, the same.
func TestDeadlineInAnEmptyRoot(t *testing.T) {
	needRoot(t)
	box := needCommand(t, "busybox")
	needCommand(t, "chroot")
	for _, mounts := range []string{"", "mount -t proc none proc"} {
		t.Run(fmt.Sprintf("%q", mounts), func(t *testing.T) {
			atOnce(t, rootModes, func(t *testing.T, m mode) {
				root := t.TempDir()
				for file, from := range map[string]string{"finite": finiteBin, "busybox": box} {
					if err := copyFile(filepath.Join(root, file), from); err != nil {
						t.Fatal(err)
					}
				}
				if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
					t.Fatal(err)
				}
				script := strings.NewReplacer("setsid", "/busybox setsid", "sleep", "/busybox sleep").Replace(deafEscapee)
				prepare := fmt.Sprintf("cd '%s' && mount -o bind,ro . . && cd '%[1]s'; %s", root, mounts)
				var r result
				complete(t, 500*time.Millisecond, func(deadline string) bool {
					args := append(append([]string{"/usr/sbin/chroot", root, "/finite"}, shortEnding()...),
						"--timeout", deadline, "--", "/busybox", "sh", "-c", script)
					r = startSpec(t, cageSpec{Mode: m, Args: privately(afterShell(prepare, args...)...)}, nil).wait()
					r.wantEnded(t)
					return r.stdout != ""
				})
				if r.stdout != "ready\n" {
					t.Errorf("stdout: %q", r.stdout)
				}
			})
		})
	}
}

// With 4 MB of memory for finite and the command, the same; and where the command wants more than
// there is. (Not with 4 MB: among small processes, finite may be the one that the kernel ends.)
func TestDeadlineInLittleMemory(t *testing.T) {
	needCommand(t, "perl")
	const greedy = `trap "" TERM; (setsid sleep 1000 &); echo ready; ` +
		`perl -e '$x = "x" x (64 << 20)' 2>/dev/null || echo killed; while :; do sleep 1000; done`
	for name, tt := range map[string]struct {
		megabytes int
		command   string
		says      string
	}{
		"just enough": {4, deafEscapee, "ready\n"},
		"too little":  {12, greedy, "ready\nkilled\n"},
	} {
		t.Run(name, func(t *testing.T) {
			atOnce(t, rootModes, func(t *testing.T, m mode) {
				dir := limited(t, "memory", "memory.limit_in_bytes", "memory.max", strconv.Itoa(tt.megabytes<<20))
				var r result
				complete(t, 500*time.Millisecond, func(deadline string) bool {
					args := append(append([]string{finiteBin}, shortEnding()...),
						"--timeout", deadline, "-vv", "--", "sh", "-c", tt.command)
					r = startSpec(t, cageSpec{Mode: m, Args: joins(dir, args...)}, nil).wait()
					r.wantEnded(t)
					return strings.Count(r.stdout, "\n") >= strings.Count(tt.says, "\n")
				})
				if r.stdout != tt.says {
					t.Errorf("stdout %q, want %q", r.stdout, tt.says)
				}
				if left := procs(dir); len(left) > 0 {
					t.Errorf("left in the cgroup: %v", left)
				}
			})
		})
	}
}

// With 16 descriptors the deadline holds, whatever finite is to open. With fewer it holds, or
// finite begins nothing: one line, and status 125.
func TestDeadlineWithFewDescriptors(t *testing.T) {
	for name, options := range map[string][]string{
		"plain": nil, "cgroup": {"--cgroup", "auto", "-vv"}, "report": {"--report", "report.json"},
		"both": {"--report", "report.json", "--state-file", "state.json"}, "lifeline": {"--lifeline", "stdin"},
		"snapshot": {"--report", "report.json", "--snapshot"}, "events": {"--events", "events"},
	} {
		t.Run(name, func(t *testing.T) {
			atOnce(t, rootModes, func(t *testing.T, m mode) {
				held := 0
				for limit := 3; limit <= 16; limit++ {
					stdin, hold, err := os.Pipe()
					if err != nil {
						t.Fatal(err)
					}
					args := append([]string{
						finiteBin, "-t", stretch("300ms"),
						"-k", stretch("100ms"), "--give-up", stretch("20s"),
					}, options...)
					args = append(args, "--", "sh", "-c", deafEscapee)
					c := startSpec(t, cageSpec{
						Mode: m, Args: afterShell(fmt.Sprintf("cd '%s'; ulimit -n %d", t.TempDir(), limit), args...),
					},
						func(cmd *exec.Cmd) { cmd.Stdin = stdin })
					stdin.Close()
					r := c.wait()
					hold.Close()
					if r.status == 124 {
						held++
					}
					if limit == 16 || held > 0 {
						r.wantEnded(t)
						continue
					}
					r.want(t, 125)
					if !strings.HasPrefix(r.stderr, "finite: ") || strings.Count(r.stderr, "\n") != 1 ||
						!strings.Contains(r.stderr, "too many open files") {
						t.Errorf("limit %d: stderr %q, want one line", limit, r.stderr)
					}
				}
			})
		})
	}
}

// ownTasks is how many tasks finite itself is, where there is an ending to enforce, and options
// that need a supervisor. With fewer, the supervisor cannot run.
func ownTasks(m mode) int {
	if m == asInit {
		return 7
	}
	return 8 // the front as well
}

// A user whose processes are limited (RLIMIT_NPROC) runs a fork bomb under finite. Where the limit
// leaves no room for the command, that is one line, and status 125.
func TestDeadlineInProcessLimit(t *testing.T) {
	needRoot(t)
	needCommand(t, "perl")
	needCommand(t, "setpriv")
	needCommand(t, "prlimit")
	forModes(t, rootModes, func(t *testing.T, m mode) {
		for limit := ownTasks(m); limit <= ownTasks(m)+4; limit++ {
			args := append(append([]string{finiteBin}, shortEnding()...), "--", "perl", "-e", bomb)
			args = unprivileged(append([]string{
				"/usr/bin/prlimit", fmt.Sprintf("--nproc=%d:%[1]d", limit),
			}, args...)...)
			r := startSpec(t, cageSpec{Mode: m, Args: args}, nil).wait()
			if limit > ownTasks(m) {
				r.wantEnded(t)
				continue
			}
			r.want(t, 125)
			if want := "finite: cannot run \"perl\": resource temporarily unavailable\n"; r.stderr != want {
				t.Errorf("stderr: %q, want %q", r.stderr, want)
			}
		}
	})
}

// The same for a cgroup's limit: others have filled it before the start, or it is lowered below
// what is there while the command runs.
func TestDeadlineInFullCgroup(t *testing.T) {
	needCommand(t, "perl")
	t.Run("before", func(t *testing.T) {
		atOnce(t, rootModes, func(t *testing.T, m mode) {
			for spare := ownTasks(m); spare <= ownTasks(m)+2; spare++ {
				dir := limited(t, "pids", "pids.max", "pids.max", "max")
				others := fillWith(t, dir, 20)
				setLimit(t, dir, others+spare)
				args := append(append([]string{finiteBin}, shortEnding()...), "--cgroup", "off", "--", "perl", "-e", bomb)
				r := startSpec(t, cageSpec{Mode: m, Args: joins(dir, args...)}, nil).wait()
				if spare > ownTasks(m) {
					r.wantEnded(t)
				} else {
					r.want(t, 125)
					if want := "finite: cannot run \"perl\": resource temporarily unavailable\n"; r.stderr != want {
						t.Errorf("stderr: %q, want %q", r.stderr, want)
					}
				}
				if left := procs(dir); len(left) != others {
					t.Errorf("%d processes are in the cgroup, want the %d that were there before", len(left), others)
				}
			}
		})
	})
	tree := script(t, "tree.pl")
	t.Run("while it runs", func(t *testing.T) {
		atOnce(t, rootModes, func(t *testing.T, m mode) {
			for _, options := range [][]string{{"-vv"}, {"--cgroup", "off", "--forward", "all"}} {
				dir := limited(t, "pids", "pids.max", "pids.max", "100")
				args := joins(dir, append([]string{
					finiteBin, "--stop-grace", stretch("300ms"), "--give-up", stretch("20s"),
				}, append(options, "--", "perl", tree, "MARK", "20")...)...)
				c := startSpec(t, cageSpec{Mode: m, Args: args}, nil)
				c.stdout.await(t, "ready")
				setLimit(t, dir, 0)
				c.signal(syscall.SIGHUP)
				r := c.wait()
				r.want(t, 129)
				wantCalm(t, r)
				if left := procs(dir); len(left) > 0 {
					t.Errorf("left in the cgroup: %v", left)
				}
			}
		})
	})
}

func setLimit(t *testing.T, dir string, limit int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "pids.max"), []byte(strconv.Itoa(limit)), 0); err != nil {
		t.Fatal(err)
	}
}

// fillWith puts so many processes and their parent into a cgroup, and returns how many are there.
// They end with the test.
func fillWith(t *testing.T, dir string, processes int) int {
	t.Helper()
	const filler = `echo 0 >"$0/cgroup.procs" || exit 97; for i in $(seq "$1"); do sleep 1000 & done; ` +
		`echo full; wait`
	cmd := exec.Command("/bin/sh", "-c", filler, dir, strconv.Itoa(processes))
	out := newLines()
	cmd.Stdout = out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	if err := startLocked(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	out.await(t, "full")
	return len(procs(dir))
}

// A report that cannot be written is said once, and changes nothing about the run.
func TestReportThatCannotBeWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		options []string
		prepare string
		says    string
	}{
		"ENOSPC": {
			[]string{"--report", "/dev/full"}, ":", "cannot write /dev/full: no space left on device",
		},
		"ENOSPC of a descriptor": {
			[]string{"--report", "fd:5"}, "exec 5>/dev/full", "cannot write fd:5: no space left on device",
		},
		"EIO": {[]string{"--report", "fd:4"}, ":", "cannot write fd:4: input/output error"},
		"EFBIG": {
			[]string{"--report", "report.json"}, "ulimit -f 0", "cannot write report.json: file too large",
		},
		"EPIPE": {
			[]string{"--report", "fd:5"}, `mkfifo f; exec 6<>f 5>f 6<&-`, "cannot write fd:5: broken pipe",
		},
	} {
		t.Run(name, func(t *testing.T) {
			atOnce(t, rootModes, func(t *testing.T, m mode) {
				c := startSpec(t, cageSpec{
					Mode: m, Args: afterShell(fmt.Sprintf("cd '%s'; %s", t.TempDir(), tt.prepare),
						endsDeafEscapee(tt.options...)...),
				},
					func(cmd *exec.Cmd) { cmd.ExtraFiles = append(cmd.ExtraFiles, hungUpTerminal(t)) })
				r := c.wait()
				r.wantEnded(t)
				if strings.Count(r.stderr, "cannot write") != 1 || !strings.Contains(r.stderr, tt.says) {
					t.Errorf("stderr %q, want %q once", r.stderr, tt.says)
				}
			})
		})
	}
}

// hungUpTerminal is a terminal whose other side is gone: a write to it is EIO.
func hungUpTerminal(t *testing.T) *os.File {
	t.Helper()
	other, tty, err := pty.Open()
	if err != nil {
		missing(t, "no pseudo-terminal: %v", err)
	}
	other.Close()
	t.Cleanup(func() { tty.Close() })
	return tty
}

// Nobody reads what finite says, it cannot be written, or the reader is gone.
func TestDeadlineThatCannotBeTold(t *testing.T) {
	for name, stderr := range map[string]func(t *testing.T) *os.File{
		"full pipe": testkit.FullPipe, "hung-up terminal": hungUpTerminal,
		"full device":           func(t *testing.T) *os.File { return openFile(t, "/dev/full") },
		"pipe without a reader": testkit.BrokenPipe,
	} {
		t.Run(name, func(t *testing.T) {
			atOnce(t, rootModes, func(t *testing.T, m mode) {
				file := filepath.Join(inMemory(t), "report.json")
				c := startSpec(t, cageSpec{Mode: m, Args: endsDeafEscapee("-vv", "--report", file)},
					func(cmd *exec.Cmd) { cmd.Stderr = stderr(t) })
				c.wait().want(t, 124)
				if r := ended(t, file, "deadline", 124); r.Reaped.LeftoversKilled == 0 {
					t.Errorf("nobody was killed: %+v", r)
				}
			})
		})
	}
}

func openFile(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}
