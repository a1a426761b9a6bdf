package engines

import (
	"slices"
	"strings"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// ownCgroup prints which cgroup v2 the command is in, as the container sees it.
const ownCgroup = `sed -n 's,^0::,cgroup ,p' /proc/self/cgroup` + "\n"

// leafOf returns what ownCgroup has printed.
func leafOf(out outcome) string {
	for line := range strings.Lines(out.stdout) {
		if path, ok := strings.CutPrefix(line, "cgroup "); ok {
			return strings.TrimSpace(path)
		}
	}
	return ""
}

// Where the container may make cgroups, the command has one of its own, by which it is killed;
// where it may not, which is the engine's default, it has none. Both end the same way, as PID 1 and
// as the root of a tree within a container.
func TestDockerCgroup(t *testing.T) {
	d := docker(t)
	// What --privileged does to the mount, which not every machine that tests run on may grant.
	mounting := []string{"--cap-add", "SYS_ADMIN", "--security-opt", "apparmor=unconfined", "-e", "REMOUNT=1"}
	for _, test := range []struct {
		name    string
		options []string
		leaf    bool
	}{
		{"writable", mounting, true},
		{"read-only", nil, false},
		{
			"of the host, writable", []string{
				"--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
				"--security-opt", "seccomp=unconfined",
			}, true,
		},
		// The default profile has no clone3 for who has no CAP_SYS_ADMIN, and so no process can be
		// started in a cgroup: it moves there.
		{
			"of the host, writable, without clone3",
			[]string{"--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"},
			true,
		},
		{"of the host, read-only", []string{"--cgroupns", "host"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			finite := []string{"-vv", "--timeout", testkit.Stretch("2s"), "--grace", testkit.Stretch("500ms")}
			command := []string{"sh", "-c", ownCgroup + deafTree}
			job := slices.Concat([]string{"/finite"}, finite, []string{"--"}, command)
			const remount = `[ -z "$REMOUNT" ] || mount -o remount,bind,rw /sys/fs/cgroup || exit 99; `
			shell := slices.Concat([]string{"-i", "--entrypoint", "sh"}, test.options, []string{"--", "-c"})
			first := d.run(t, slices.Concat(shell, []string{remount + `exec "$@"`, "sh"}, job)...)
			c := d.run(t, append(shell, remount+"echo bystander; exec cat")...)
			c.await("bystander")
			guest, mark := c.exec(job...)

			out := guest.wait()
			checkGone(t, mark)
			checkLeaf(t, out, test.leaf)
			if left := c.zombies(); len(left) > 0 {
				t.Errorf("zombies are left: %v", left)
			}
			checkLeaf(t, first.end(), test.leaf)

			// A run in the same container that needs one.
			guest, mark = c.exec("/finite", "--cgroup", "require", "--", "sh", "-c", ownCgroup+"exit 9")
			out = guest.wait()
			checkGone(t, mark)
			if test.leaf {
				out.check(t, 9)
				out.silent(t)
				checkInLeaf(t, out, true)
			} else {
				out.check(t, 125)
				out.says(t, "finite: --cgroup require: ")
				checkInLeaf(t, out, false)
			}
			// In the container's own cgroup: with the host's namespace, those of other containers
			// are seen as well.
			list, _ := c.exec("sh", "-c",
				`find "/sys/fs/cgroup$(sed -n 's,^0::,,p' /proc/1/cgroup)" -name 'finite-[0-9]*-*' -type d`)
			left := list.wait()
			left.check(t, 0)
			if left.stdout != "" {
				t.Errorf("cgroups are left:\n%s", left.stdout)
			}
			c.stdin.Close()
			c.end().check(t, 0)
		})
	}
}

func checkInLeaf(t *testing.T, out outcome, leaf bool) {
	t.Helper()
	if path := leafOf(out); strings.Contains(path, "/finite-") != leaf {
		t.Errorf("the command is in the cgroup %q, in one of its own: want %v", path, leaf)
	}
}

// checkLeaf checks how a deafTree ended that says which cgroup it is in.
func checkLeaf(t *testing.T, out outcome, leaf bool) {
	t.Helper()
	checkDeafTree(t, out)
	checkInLeaf(t, out, leaf)
	said := strings.Count(out.stderr, "no cgroup of its own")
	if want := map[bool]int{true: 0, false: 1}[leaf]; said != want {
		t.Errorf("said %d times that there is no cgroup, want %d", said, want)
	}
	if strings.Contains(out.stderr, "cannot remove cgroup") {
		t.Errorf("stderr: %s", out.stderr)
	}
}
