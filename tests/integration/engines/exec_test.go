package engines

import (
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// docker exec finite --timeout: the tree is gone at the deadline, and the container is as it was.
func TestDockerExecTimeout(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.runBystander(t)
	// A line of descent that forks and ends as fast as it can comes on top of the tree.
	const racer = `racer='sh -c "$0" "$0" &'; trap "" TERM; ` +
		`(setsid sh -c "$racer" "$racer" 2>/dev/null &)` + "\n"
	job, mark := c.exec("/finite", "--timeout", testkit.Stretch("2s"),
		"--grace", testkit.Stretch("500ms"), "--", "sh", "-c", racer+deafTree)
	out := job.wait()
	checkGone(t, mark)
	checkDeafTree(t, out)
	if left := c.zombies(); len(left) > 0 {
		t.Errorf("zombies are left: %v", left)
	}
	c.stdin.Close() // it still reads
	c.end().check(t, 0)
}

// docker exec finite without a deadline: the command's status, and its leftovers are asked to end.
func TestDockerExecLeftovers(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.runBystander(t)
	job, mark := c.exec("/finite", "--", "sh", "-c", `
mkfifo /tmp/up
(setsid sh -c 'trap "echo asked; sleep 0.3; echo cleaned; exit" TERM; echo up >/tmp/up;
while :; do sleep 0.1; done' &)
read -r _ </tmp/up
exit 9`)
	out := job.wait()
	checkGone(t, mark)
	out.check(t, 9)
	out.prints(t, "asked", 1)
	out.prints(t, "cleaned", 1)
	if left := c.zombies(); len(left) > 0 {
		t.Errorf("zombies are left: %v", left)
	}
}

// Orphans are reaped while the command runs.
func TestDockerZombies(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.run(t, "-i", "--", "sh", "-c", `
i=0
while [ $i -lt 50 ]; do (sh -c 'exec 2>/dev/null' &); i=$((i + 1)); done |
cat # which ends when all of them have
echo orphans
read -r _`)
	c.await("orphans")
	// The pipe closes a moment before its last writer is a zombie, and reaping takes a moment too.
	deadline := time.Now().Add(testkit.Patience())
	for left := c.zombies(); len(left) > 0; left = c.zombies() {
		if time.Now().After(deadline) {
			t.Fatalf("zombies stay: %v", left)
		}
	}
	c.stdin.Close()
	out := c.end()
	out.check(t, 1) // read's, at the end of file
	out.silent(t)
}
