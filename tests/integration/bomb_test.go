package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// bomb forks as often as it can, gets away in every way, and does not hear SIGTERM. Some of it
// forks and ends without end.
const bomb = `use POSIX (); $SIG{TERM} = $SIG{CHLD} = "IGNORE"; my ($root, $i) = ($$, 0);
while (1) { my $p = fork; POSIX::setsid() if defined $p && !$p; exit if $p && $$ != $root && $i++ % 7 == 3 }`

// bombed runs the bomb under finite, both in a cgroup with room for so many processes and threads,
// and returns how it ended and how often the limit was met.
func bombed(t *testing.T, m mode, limit int, deadline string, options ...string) (result, int) {
	t.Helper()
	dir := limited(t, "pids", "pids.max", "pids.max", strconv.Itoa(limit))
	args := append([]string{
		finiteBin, "-t", deadline, "-k", stretch("100ms"), "--give-up", stretch("5s"),
	}, options...)
	place := room(t)
	c := startSpec(t, cageSpec{Mode: m, Args: joins(dir, append(args, "--", "perl", "-e", bomb)...)},
		within(t, place))
	r := c.wait()
	wantNoLeaf(t, place)
	text, err := os.ReadFile(filepath.Join(dir, "pids.events"))
	var met int
	if _, err2 := fmt.Sscanf(string(text), "max %d", &met); err != nil || err2 != nil {
		t.Fatalf("pids.events: %q, %v", text, err)
	}
	if left := procs(dir); len(left) > 0 {
		t.Errorf("limit %d: left in the cgroup: %v", limit, left)
	}
	return r, met
}

// wantCalm checks that nothing of the Go runtime's is on stderr.
func wantCalm(t *testing.T, r result) {
	t.Helper()
	for _, word := range []string{"goroutine", "runtime:", "fatal error", "panic", "SIGABRT", "internal error"} {
		if strings.Contains(r.stderr, word) {
			t.Errorf("stderr: %s", r.stderr)
			return
		}
	}
}

// A fork bomb in the same limit as finite ends at its deadline.
func TestForkBomb(t *testing.T) {
	needCommand(t, "perl")
	type place struct {
		m       mode
		options []string
		limits  []int
	}
	for name, p := range map[string]place{
		"init":               {asInit, nil, []int{10, 12, 16, 40}},
		"subreaper":          {asSubreaper, nil, []int{12, 16, 40}},
		"subreaper, no leaf": {asSubreaper, []string{"--cgroup", "off"}, []int{12, 16, 40}},
		"namespace":          {asSubreaper, []string{"--unshare", "pid,mount"}, []int{16, 40}},
	} {
		for _, limit := range p.limits {
			t.Run(fmt.Sprintf("%s/%d", name, limit), func(t *testing.T) {
				for i := range 4 {
					options := p.options
					if i%2 == 1 { // it has much to say, and needs more threads for that
						options = append(options[:len(options):len(options)], "-vv")
					}
					complete(t, 300*time.Millisecond, func(deadline string) bool {
						r, met := bombed(t, p.m, limit, deadline, options...)
						r.want(t, 124)
						wantCalm(t, r)
						if strings.Contains(r.stderr, "gave up") {
							t.Errorf("stderr: %s", r.stderr)
						}
						return met > 0
					})
					if t.Failed() {
						return
					}
				}
			})
		}
	}
}

// Where the limit leaves too little for finite itself, that is the end, before anything was started
// or at once: nothing hangs, nothing is left.
func TestTooFewProcesses(t *testing.T) {
	needCommand(t, "perl")
	for name, p := range map[string]struct {
		m       mode
		options []string
		most    int
	}{
		"init":      {asInit, nil, 9},
		"subreaper": {asSubreaper, nil, 9},
		"namespace": {asSubreaper, []string{"--unshare", "pid,mount"}, 18},
	} {
		t.Run(name, func(t *testing.T) {
			for limit := 2; limit <= p.most; limit++ {
				place := room(t)
				dir := limited(t, "pids", "pids.max", "pids.max", strconv.Itoa(limit))
				args := append([]string{finiteBin, "-t", stretch("300ms"), "-k", stretch("100ms")}, p.options...)
				r := startSpec(t, cageSpec{
					Mode: p.m, Args: joins(dir, append(args, "--", "perl", "-e", bomb)...),
				}, within(t, place)).wait()
				if r.status != 124 && r.status != 125 && r.status != 2 || len(r.left) > 0 { // 2 is the Go runtime's
					t.Errorf("limit %d: status %d, left %v, stderr: %s", limit, r.status, r.left, r.stderr)
				}
				if r.status != 2 {
					wantCalm(t, r)
					wantNoLeaf(t, place)
				}
			}
		})
	}
}

// A tree is too large to be stopped in the time until finite gives up. Everybody is killed all the
// same.
func TestGivesUpOnALargeTree(t *testing.T) {
	needRoot(t)
	needCommand(t, "perl")
	const many = `$SIG{TERM} = "IGNORE";
for (1 .. 8000) { my $pid = fork; last unless defined $pid; if (!$pid) { sleep 1000; exit } }
sleep 1 while 1`
	c := startSpec(t, cageSpec{
		Mode: asSubreaper, Late: true, Args: []string{
			finiteBin, "-t", stretch("5s"), "-k", "0", "--give-up", "100ms", "--cgroup", "off", "--",
			"perl", "-e", many,
		},
	}, nil)
	c.wait().want(t, 124)
}
