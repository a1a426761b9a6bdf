package engines

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// confinements are what a container may have to live with. Each has a proof: a command that
// succeeds only under it.
var confinements = []struct {
	name    string
	options []string
	proof   string
}{
	{"default seccomp profile", nil, `grep -q "^Seccomp:.2$" /proc/self/status`},
	{"read-only root", []string{"--read-only"}, `! touch /x 2>/dev/null`},
	{"arbitrary uid", []string{"--user", "12345:12345"}, `[ "$(id -u):$(id -g)" = 12345:12345 ]`},
	{"no capabilities", []string{"--cap-drop", "ALL"}, `grep -q "^CapBnd:.0*$" /proc/self/status`},
	{
		"no new privileges",
		[]string{"--security-opt", "no-new-privileges"},
		`grep -q "^NoNewPrivs:.1$" /proc/self/status`,
	},
	// Where the engine's cgroup has no pids controller it says so and sets no limit; there is
	// TestDockerProcessLimit too.
	{"pids limit", []string{"--pids-limit", "32"}, ":"},
}

// A deadline holds under each confinement and under all together, as PID 1 and as the root of a
// tree within a container.
func TestDockerConfined(t *testing.T) {
	d := docker(t)
	var options, proofs []string
	for _, c := range confinements {
		t.Run(c.name, func(t *testing.T) { testConfined(t, d, c.options, c.proof) })
		options, proofs = append(options, c.options...), append(proofs, c.proof)
	}
	t.Run("all", func(t *testing.T) { testConfined(t, d, options, strings.Join(proofs, " && ")) })
}

func testConfined(t *testing.T, d *dockerd, options []string, proof string) {
	t.Parallel()
	finite := []string{
		"--timeout", testkit.Stretch("2s"), "--grace", testkit.Stretch("500ms"),
		"--", "sh", "-c", proof + " || exit 99" + deafTree,
	}
	first := d.runFinite(t, options, finite...)
	c := d.runBystander(t, options...)
	job, mark := c.exec(append([]string{"/finite"}, finite...)...)

	out := job.wait()
	checkGone(t, mark)
	checkDeafTree(t, out)
	if left := c.zombies(); len(left) > 0 {
		t.Errorf("zombies are left: %v", left)
	}
	checkDeafTree(t, first.end())
}

// A command that has filled its user's limit of processes does not keep finite from ending it.
func TestDockerProcessLimit(t *testing.T) {
	d := docker(t)
	const filler = `trap "" TERM; (while :; do sleep 10000 & done) 2>/dev/null; echo full; read -r _ </tmp/never`
	for i, role := range []string{"init", "subreaper"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			// The limit counts all threads of the user on the machine, so each container has one of
			// its own.
			options := []string{"--user", strconv.Itoa(100_000 + 2*os.Getpid() + i), "--ulimit", "nproc=40:40"}
			finite := []string{
				"--timeout", testkit.Stretch("2s"), "--grace", testkit.Stretch("500ms"),
				"--", "sh", "-c", "mkfifo /tmp/never;" + filler,
			}
			var out outcome
			if role == "init" {
				out = d.runFinite(t, options, finite...).end()
			} else {
				c := d.runBystander(t, options...)
				job, mark := c.exec(append([]string{"/finite"}, finite...)...)
				out = job.wait()
				checkGone(t, mark)
			}
			out.check(t, 124)
			out.prints(t, "full", 1)
			out.says(t, "deadline was reached", "SIGKILL")
		})
	}
}
