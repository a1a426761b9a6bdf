package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// qemu is finite for arm64, under QEMU's user mode: not all of Linux is there. A vfork is a fork,
// and there are no pidfds of children, no subreaper, and no waiting for a child to execute.
func qemu(t *testing.T, args ...string) []string {
	t.Helper()
	emulator := needCommand(t, "qemu-aarch64-static")
	bin := filepath.Join(filepath.Dir(finiteBin), "finite-arm64")
	if _, err := os.Stat(bin); err != nil {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags",
			"-E github.com/finite-init/finite/internal/keeper.entry", "-o", bin, "../..")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=arm64")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, text)
		}
	}
	return append([]string{emulator, bin}, args...)
}

func TestDeadlineUnderQEMU(t *testing.T) {
	needRoot(t)
	for _, cgroup := range []string{"auto", "off"} {
		t.Run(cgroup, func(t *testing.T) {
			forModes(t, rootModes, func(t *testing.T, m mode) {
				file := filepath.Join(inMemory(t), "report.json")
				var r result
				complete(t, 500*time.Millisecond, func(deadline string) bool {
					r = startSpec(t, cageSpec{
						Mode: m,
						Args: qemu(
							t,
							endsDeafEscapee("--timeout", deadline, "--cgroup", cgroup, "--report", file)[1:]...),
					}, nil).wait()
					if m == asSubreaper {
						r.left = slices.DeleteFunc(r.left, isDying)
						if cgroup == "off" && r.stdout != "" {
							r.left = wantOrphanAlone(t, r.left)
						}
					}
					return r.stdout != ""
				})
				r.wantEnded(t)
				if r.stdout != "ready\n" { // it was started once
					t.Errorf("stdout: %q", r.stdout)
				}
				ended(t, file, "deadline", 124)
				without := readWithout(t, file)
				if slices.Contains(without, "subreaper") != (m == asSubreaper) ||
					slices.Contains(without, "cgroup") {
					t.Errorf("without %q", without)
				}
			})
		})
	}
}

func TestSignalsAndStatusUnderQEMU(t *testing.T) {
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		const script = `trap "echo got it" USR1; trap "exit 3" TERM; echo ready; while :; do sleep 0.05; done`
		c := startSpec(t, cageSpec{Mode: m, Args: qemu(t, "--", "sh", "-c", script)}, nil)
		c.stdout.await(t, "ready")
		c.signal(syscall.SIGUSR1)
		c.stdout.await(t, "got it")
		c.signal(syscall.SIGTERM)
		c.wait().want(t, 3)
		for status, args := range map[int][]string{
			7:   {"sh", "-c", "exit 7"},
			143: {"sh", "-c", "kill -TERM $$"},
			137: {"sh", "-c", "kill -KILL $$"},
			127: {"no-such-command"},
		} {
			r := startSpec(
				t,
				cageSpec{Mode: m, Args: qemu(t, append([]string{"--"}, args...)...)},
				nil,
			).wait()
			r.want(t, status)
			wantCalm(t, r)
		}
	})
}

// A supervisor is an ordinary child there. It does not count as what the command has left: nothing
// is killed where nobody is left, or where everybody ends by the stop signal.
func TestLeftoversUnderQEMU(t *testing.T) {
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		for _, script := range []string{"exit 3", "sleep infinity & exit 3"} {
			if m == asSubreaper && script != "exit 3" {
				continue // there is no subreaper
			}
			r := startSpec(
				t,
				cageSpec{Mode: m, Args: qemu(t, "--report", "fd:1", "--", "sh", "-c", script)},
				nil,
			).wait()
			r.want(t, 3)
			wantLastReport(t, r.stdout, `"exit_status":3`)
			if r.stderr != "" || strings.Contains(r.stdout, `"killing"`) {
				t.Errorf("%s: stdout: %s\nstderr: %s", script, r.stdout, r.stderr)
			}
		}
	})
}

// gvisor is a command in a sandbox of gVisor's, a kernel that is not Linux, on the machine's files.
// Its ptrace platform needs nothing of the machine.
func gvisor(t *testing.T, args ...string) []string {
	t.Helper()
	return append([]string{
		needCommand(t, "runsc"),
		"--platform=ptrace", "--network=none", "--ignore-cgroups", "--root", t.TempDir(), "do",
	}, args...)
}

// As PID 1 of a sandbox, everything holds. As a subreaper, which gVisor does not know, what was an
// orphan before the end is out of reach.
func TestDeadlineUnderGVisor(t *testing.T) {
	needRoot(t)
	options := []string{"--report", "fd:1"}
	t.Run("init", func(t *testing.T) {
		r := startSpec(
			t,
			cageSpec{Mode: asSubreaper, Args: gvisor(t, endsDeafEscapee(options...)...)},
			nil,
		).wait()
		r.left = slices.DeleteFunc(r.left, isDying) // gVisor's own
		r.wantEnded(t)
		if !strings.Contains(r.stderr, "finite: killed 2 processes that the command had left\n") {
			t.Errorf("stderr: %s", r.stderr)
		}
		wantLastReport(t, r.stdout, `"role":"init"`, `"exit_status":124`, `"without":["cgroup","pidfd"]`)
	})
	t.Run("subreaper", func(t *testing.T) {
		const around = `"$@"; echo "status $?"; for d in /proc/[0-9]*; do ` +
			`read -r _ name state parent _ <"$d/stat" && echo "$name $state $parent"; done; true`
		args := append([]string{"sh", "-c", around, "sh"}, endsDeafEscapee(options...)...)
		r := startSpec(t, cageSpec{Mode: asSubreaper, Args: gvisor(t, args...)}, nil).wait()
		r.left = slices.DeleteFunc(r.left, isDying)
		r.want(t, 0)
		wantCalm(t, r)
		out, who, found := strings.Cut(r.stdout, "status 124\n")
		if !found || strings.Contains(r.stderr, "gave up") {
			t.Fatalf("stdout: %s\nstderr: %s", r.stdout, r.stderr)
		}
		wantLastReport(t, out, `"role":"subreaper"`, `"exit_status":124`,
			`"without":["subreaper","cgroup","pidfd"]`)
		var runs []string
		for line := range strings.Lines(who) {
			if !strings.Contains(line, " Z ") && !strings.HasPrefix(line, "(sh) ") {
				runs = append(runs, line)
			}
		}
		if !slices.Equal(runs, []string{"(sleep) S 1\n"}) {
			t.Errorf("left behind: %q, want the orphan alone", runs)
		}
	})
}

// wantLastReport checks that the last line of out is a report with some texts in it.
func wantLastReport(t *testing.T, out string, texts ...string) {
	t.Helper()
	out = strings.TrimSuffix(out, "\n")
	last := out[strings.LastIndexByte(out, '\n')+1:]
	for _, text := range append(texts, `"state":"ended"`) {
		if !strings.Contains(last, text) {
			t.Errorf("no %s in %s", text, last)
		}
	}
}
