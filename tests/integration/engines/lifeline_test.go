package engines

import (
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// The client of a docker exec -i is killed: what it had started in the container ends.
func TestDockerExecLifeline(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.runBystander(t)
	mark := newMark()
	client := start(t, d.command("exec", "-i", "-e", mark, c.name, "/finite",
		"--lifeline", "stdin", "--grace", testkit.Stretch("300ms"), "--", "sh", "-c", deafTree))
	for range deafMembers {
		client.await("member")
	}
	_ = client.cmd.Process.Kill()
	client.wait()
	deadline := time.Now().Add(testkit.Patience())
	for left := marked(mark); len(left) > 0; left = marked(mark) {
		if time.Now().After(deadline) {
			t.Fatalf("processes are left: %v", left)
		}
	}
	if left := c.zombies(); len(left) > 0 {
		t.Errorf("zombies are left: %v", left)
	}
}
