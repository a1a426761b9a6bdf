package integration

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// When no thread can be made any more, finite goes on with those that it has: it logs, passes
// signals on, walks the tree and kills it. (The command sets the limit; a fork bomb does the same
// less reliably.)
func TestNoThreadCanBeMade(t *testing.T) {
	if os.Geteuid() != 0 {
		missing(t, "needs root to become another user, for whom the limit holds")
	}
	needCommand(t, "perl")
	needCommand(t, "prlimit")
	const family = `$| = 1; $SIG{USR1} = $SIG{USR2} = $SIG{HUP} = sub {};
for (1 .. 20) { if (!fork) { $SIG{TERM} = "IGNORE"; close STDOUT; sleep 1000; exit } }
system("prlimit", "--pid", getppid, "--nproc=1:1") == 0 or die; print "ready\n";
select undef, undef, undef, 0.1 while 1`
	for _, options := range [][]string{{"-vv"}, {}, {"--forward", "group"}} {
		for range 5 {
			c := start(t, asNobody, append(options, "-k", stretch("200ms"), "--", "perl", "-e", family)...)
			c.stdout.await(t, "ready")
			pid := c.pid()
			for range 200 {
				for _, sig := range []unix.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGCONT, unix.SIGHUP} {
					_ = unix.Kill(pid, sig)
				}
			}
			_ = unix.Kill(pid, unix.SIGTERM)
			r := c.wait()
			r.want(t, 143)
			if strings.Contains(r.stderr, "newosproc") {
				t.Fatalf("options %v: %s", options, r.stderr)
			}
		}
	}
}
