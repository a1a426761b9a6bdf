package engines

import (
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// docker stop lets a command that handles SIGTERM end in its own way and with its own status.
func TestDockerStop(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.run(t, "--", "sh", "-c", `trap 'echo cleaned; exit 42' TERM; echo ready; sleep 10000 & wait`)
	c.await("ready")
	start(t, d.command("stop", "-t", "100", c.name)).wait().check(t, 0)
	out := c.end()
	out.check(t, 42) // 137 would be the engine's SIGKILL
	out.prints(t, "cleaned", 1)
	out.says(t, "finite: ", "SIGTERM")
}

// With --stop-grace it is finite that ends a command deaf to SIGTERM, and not the engine, which
// would say nothing.
func TestDockerStopGrace(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.runFinite(t, nil, "--stop-grace", testkit.Stretch("1s"), "--",
		"sh", "-c", `trap "" TERM; echo ready; sleep 10000; echo slept`)
	c.await("ready")
	start(t, d.command("stop", "-t", "30", c.name)).wait().check(t, 0)
	out := c.end()
	out.check(t, 128+9)
	out.prints(t, "slept", 0)
	out.says(t, "finite: stop requested by SIGTERM", "finite: ", "SIGKILL")
}

// Any other signal reaches the command too, and is no stop.
func TestDockerKill(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.run(t, "--", "sh", "-c", `trap 'echo usr1; exit 5' USR1; echo ready; sleep 10000 & wait`)
	c.await("ready")
	start(t, d.command("kill", "-s", "USR1", c.name)).wait().check(t, 0)
	out := c.end()
	out.check(t, 5)
	out.prints(t, "usr1", 1)
}

// What the command leaves behind is asked to end and has time to: without finite, the kernel kills
// it with PID 1.
func TestDockerLeftovers(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.run(t, "--", "sh", "-c", `
mkfifo /tmp/up
(setsid sh -c 'trap "echo asked; sleep 0.3; echo cleaned; exit" TERM; echo up >/tmp/up;
while :; do sleep 0.1; done' &)
read -r _ </tmp/up
exit 3`)
	out := c.end()
	out.check(t, 3)
	out.prints(t, "asked", 1)
	out.prints(t, "cleaned", 1)
}

// The same goes for what came in from outside: a process of docker exec is no child of anybody in
// the container.
func TestDockerLeftoverOfExec(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.run(t, "-i", "--", "sh", "-c", "echo ready; read -r _; exit 3")
	c.await("ready")
	guest, mark := c.exec("sh", "-c", `trap 'echo asked; exit 42' TERM; echo guest; while :; do sleep 0.1; done`)
	guest.await("guest")
	c.stdin.Close()
	c.end().check(t, 3)
	checkGone(t, mark)
	out := guest.wait()
	out.check(t, 42)
	out.prints(t, "asked", 1)
}
