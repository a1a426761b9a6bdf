package engines

import (
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// Options come from the environment as well, and end there: the command does not see them.
func TestDockerEnvironment(t *testing.T) {
	d := docker(t)
	t.Parallel()
	c := d.run(t, "-e", testkit.Stretch("FINITE_TIMEOUT=1s"), "-e", testkit.Stretch("FINITE_GRACE=300ms"),
		"--", "sh", "-c", `trap "" TERM; env; echo end; sleep 10000`)
	out := c.end()
	out.check(t, 124)
	out.prints(t, "end", 1)
	out.prints(t, c.mark, 1)
	if strings.Contains(out.stdout, "FINITE_") {
		t.Errorf("the command sees finite's options:\n%s", out.stdout)
	}
	out.says(t, "deadline was reached", testkit.Stretched(300*time.Millisecond).String())
}
