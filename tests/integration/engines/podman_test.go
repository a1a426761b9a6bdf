package engines

import (
	"path/filepath"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// One run under podman and crun: no image, no network, no cgroup of its own.
func TestPodman(t *testing.T) {
	need(t, "podman", "crun")
	r := enter(t)
	t.Parallel()
	dir, mark := filepath.Join(r.dir, "podman"), newMark()
	p := start(t, r.command("podman",
		"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
		"--runtime", "crun", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
		"run", "--rm", "--network", "none", "--cgroups", "disabled", "--read-only",
		"-e", mark, "--rootfs", r.rootfs,
		"/finite", "--timeout", testkit.Stretch("2s"), "--grace", testkit.Stretch("500ms"),
		"--", "sh", "-c", deafTree))
	out := p.wait()
	checkGone(t, mark)
	checkDeafTree(t, out)
}
