package integration

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A supervisor that is killed at any moment, between its first message and its last one, changes
// neither the end nor the status, and the report is complete.
func TestSupervisorIsKilledAtAnyMoment(t *testing.T) {
	const step, most = 40 * time.Microsecond, 3 * time.Millisecond // a run without a grace time takes 2 ms
	forModes(t, rootModes, func(t *testing.T, m mode) {
		t.Parallel()
		for _, reports := range []bool{false, true} {
			met := 0
			for delay := time.Duration(0); delay < most; delay += step {
				report := filepath.Join(t.TempDir(), "report.json")
				args := []string{"-t", "1h", "-k", "0"}
				if reports {
					args = append(args, "--report", report)
				}
				c, release := startHeld(t, m, append(args, "--", "sh", "-c", "echo started; "+fugitives+`read -r word; exit 3`)...)
				c.stdout.await(t, "started\n")
				keeper := c.keeper()
				release()
				for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
					if pid := childNamed(keeper, supervisorName); pid != 0 {
						time.Sleep(delay)
						if unix.Kill(pid, unix.SIGKILL) == nil {
							met++
						}
						break
					}
				}
				r := c.wait()
				if r.want(t, 3); r.stdout != "started\n" || strings.Contains(r.stderr, "cannot") {
					t.Errorf("after %v: stdout %q, stderr %q", delay, r.stdout, r.stderr)
				}
				if reports {
					ended(t, report, "exited", 3)
				}
			}
			if met < 5 {
				t.Errorf("%d supervisors were met", met)
			}
		}
	})
}
