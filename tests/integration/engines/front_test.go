package engines

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// killFront kills the process of finite's that an engine has started with this mark, and checks
// that nothing of its tree is left.
func killFront(t *testing.T, job *process, mark string) {
	t.Helper()
	for range deafMembers {
		job.await("member")
	}
	front := 0
	for _, line := range marked(mark) {
		number, _, _ := strings.Cut(line, " ")
		if comm, _ := os.ReadFile(filepath.Join("/proc", number, "comm")); string(comm) == "finite\n" {
			front, _ = strconv.Atoi(number)
		}
	}
	if front == 0 {
		t.Fatalf("no finite in %q", marked(mark))
	}
	if err := unix.Kill(front, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); len(marked(mark)) > 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > testkit.Patience()/2 {
			t.Errorf("processes are left:\n%s", strings.Join(marked(mark), "\n"))
			for _, line := range marked(mark) { // the client waits for who holds its streams
				number, _, _ := strings.Cut(line, " ")
				pid, _ := strconv.Atoi(number)
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			break
		}
	}
	job.wait().check(t, 137)
}

// An exec whose first process is killed, by an engine or by the OOM killer, leaves nothing in the
// container.
func TestDockerExecIsKilled(t *testing.T) {
	d := docker(t)
	for name, options := range map[string][]string{"root": nil, "user": {"--user", "12345:12345"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := d.runBystander(t, options...)
			for _, args := range [][]string{{"/finite", "--"}, {"/finite", "--timeout", "1h", "--"}} {
				job, mark := c.exec(append(args, "sh", "-c", deafTree)...)
				killFront(t, job, mark)
			}
			c.stdin.Close()
			c.end().check(t, 0)
		})
	}
}

func TestRuncExecIsKilled(t *testing.T) {
	t.Parallel()
	b := runBundle(t, "--", "sh", "-c", "echo ready; read -r _; exit 3")
	b.await("ready")
	job := start(t, b.runc("exec", "--env", b.mark+".job", b.id, "/finite", "--", "sh", "-c", deafTree))
	killFront(t, job, b.mark+".job")
	b.stdin.Close()
	b.end().check(t, 3)
}

func TestPodmanExecIsKilled(t *testing.T) {
	need(t, "podman", "crun")
	r := enter(t)
	t.Parallel()
	dir, mark := filepath.Join(r.dir, "podman-exec"), newMark()
	podman := func(args ...string) *process {
		return start(t, r.command("podman", append([]string{
			"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
			"--runtime", "crun", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
		}, args...)...))
	}
	c := podman("run", "-i", "--rm", "--name", "killed", "--network", "none",
		"--cgroups", "disabled", "--read-only", "--rootfs", r.rootfs,
		"sh", "-c", "echo bystander; exec cat")
	c.await("bystander")
	job := podman("exec", "-e", mark, "killed", "/finite", "--", "sh", "-c", deafTree)
	killFront(t, job, mark)
	c.stdin.Close()
	c.wait().check(t, 0)
}

// As PID 1 of a container with the capabilities that it has by default: scripts write to what PID 1
// writes to, and read its environment.
func TestDockerInitIsOpen(t *testing.T) {
	d := docker(t)
	for name, options := range map[string][]string{"root": nil, "user": {"--user", "12345:12345"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const script = `echo "by stdout" >/proc/1/fd/1; grep -qz ENGINES_MARK= /proc/1/environ || exit 9; ` +
				`[ "$(readlink /proc/1/exe)" = /finite ] || exit 8; exit 3`
			out := d.runFinite(t, options, "sh", "-c", script).end()
			out.check(t, 3)
			out.prints(t, "by stdout", 1)
			out.silent(t)
		})
	}
}
