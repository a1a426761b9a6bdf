package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// recorder is a command that prints every signal it gets, by number, and ends on SIGALRM. The
// signals come one by one. (Perl runs handlers between its own steps: what comes just before a
// sleep waits for its end, so sleeps are short here and below.)
const recorder = `use POSIX; $| = 1; my %n; @n{split " ", $Config{sig_name}} = split " ", $Config{sig_num};
for my $s (grep { $_ ne "ZERO" } keys %n) {
$SIG{$s} = sub { my $i = $n{$_[0]}; if ($i == 14) { exit 42 } print "got $i\n" }
unless $s =~ /^(KILL|STOP|CHLD|CLD)$/ }
print "ready\n"; select undef, undef, undef, 0.05 while 1`

func TestRewriteAndDrop(t *testing.T) {
	needCommand(t, "perl")
	forModes(t, []mode{asInit, asSubreaper}, func(t *testing.T, m mode) {
		c := start(t, m, "--rewrite", "TERM:USR2", "--rewrite", "HUP:0",
			"--rewrite", "USR1:ALRM", "--", "perl", "-MConfig", "-e", recorder)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGHUP)
		c.signal(unix.SIGTERM)
		c.stdout.await(t, "got 12\n")
		c.signal(unix.SIGINT)
		c.stdout.await(t, "got 2\n")
		c.signal(unix.SIGUSR1)
		r := c.wait()
		r.want(t, 42)
		if strings.Contains(r.stdout, "got 1\n") || strings.Contains(r.stdout, "got 15\n") {
			t.Errorf("stdout: %q", r.stdout)
		}
	})
}

// child, group and all: who of a command, a member of its group, and an escapee gets a signal.
func TestForwardTargets(t *testing.T) {
	needCommand(t, "perl")
	const family = `use POSIX; $| = 1; $SIG{USR1} = sub { syswrite STDOUT, "$name\n" };
$SIG{ALRM} = sub { exit 7 };
pipe(my $r, my $w); $name = "child";
if (!fork) { $name = "member"; syswrite $w, "x"; select undef, undef, undef, 0.05 while 1 }
if (!fork) { setsid(); $name = "escapee"; syswrite $w, "x"; select undef, undef, undef, 0.05 while 1 }
sysread $r, $b, 1 for 1, 2; syswrite STDOUT, "ready\n"; select undef, undef, undef, 0.05 while 1`
	for target, want := range map[string][]string{
		"child": {"child"}, "group": {"child", "member"}, "all": {"child", "member", "escapee"},
	} {
		t.Run(target, func(t *testing.T) {
			forModes(t, allModes, func(t *testing.T, m mode) {
				c := start(t, m, "--forward", target, "--leftovers", "kill", "--", "perl", "-e", family)
				c.stdout.await(t, "ready")
				c.signal(unix.SIGUSR1)
				for _, name := range want {
					c.stdout.await(t, name+"\n")
				}
				c.signal(unix.SIGALRM) // ends the child, and whoever else gets it
				r := c.wait()
				r.want(t, 7)
				if got := strings.Count(r.stdout, "\n") - 1; got != len(want) {
					t.Errorf("%d got it, want %v: %q", got, want, r.stdout)
				}
			})
		})
	}
}

// A stop is said on stderr, in one line that names the signal and who sent it; a child that does as
// it is told needs no other.
func TestRequestedStop(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGQUIT} {
			c := start(t, m, "--", "sh", "-c", `trap "exit 5" TERM INT QUIT; echo ready; while :; do sleep 0.05; done`)
			c.stdout.await(t, "ready")
			c.signal(sig)
			r := c.wait()
			r.want(t, 5)
			if want := "finite: stop requested by " + unix.SignalName(sig) +
				" from outside the PID namespace\n"; r.stderr != want {
				t.Errorf("stderr: %q, want %q", r.stderr, want)
			}
		}
	})
}

// A requested stop is enforced only where --stop-grace says so, and an expected status is 0.
func TestStopGraceAndExpect(t *testing.T) {
	forModes(t, allModes, func(t *testing.T, m mode) {
		for _, grace := range []string{"200ms", "0"} {
			c := start(t, m, "--stop-grace", grace, "-e", "137", "--",
				"sh", "-c", `trap "" TERM; echo ready; while :; do sleep 0.05; done`)
			c.stdout.await(t, "ready")
			c.signal(unix.SIGTERM)
			c.wait().want(t, 0)
		}
	})
}

// The parent's death is a signal like any other. The parent here is a shell that ends itself as
// soon as the command is ready.
func TestParentDeath(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	inner := finiteBin + ` -p TERM -- sh -c 'trap "echo told; exit 0" TERM; : >` +
		ready + `; while :; do sleep 0.05; done'`
	c := start(t, asSubreaper, "--leftovers", "wait", "--", "sh", "-c",
		inner+` & while ! test -e `+ready+`; do sleep 0.05; done; kill -9 $$`)
	r := c.wait()
	r.want(t, 137)
	if r.stdout != "told\n" {
		t.Errorf("stdout: %q\nstderr: %s", r.stdout, r.stderr)
	}
}
