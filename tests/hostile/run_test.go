package hostile

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// run runs the cage of a round.
func (e *evidence) run(t *testing.T, o order, place func(*exec.Cmd)) (err error) {
	limit := testkit.Stretched(
		time.Duration(2*shortDeadline)*time.Millisecond,
	) + testkit.Stretched(
		40*time.Second,
	)
	e.seen, e.stderr, err = runCage(t, o, place, limit)
	return err
}

// runCage runs what is ordered in a PID namespace, which is ended after some time.
func runCage(
	t *testing.T,
	o order,
	place func(*exec.Cmd),
	limit time.Duration,
) (s seen, stderr string, err error) {
	t.Helper()
	var said bytes.Buffer
	c := cage.Start(t, "observer", o, func(cmd *exec.Cmd) {
		cmd.Stderr = &said
		cmd.SysProcAttr.Setsid = true
		if place != nil {
			place(cmd)
		}
	})
	if err = c.End(&s, limit); err != nil {
		err = fmt.Errorf("violation: %w\nstderr: %s", err, strings.TrimSpace(said.String()))
	}
	return s, said.String(), err
}
