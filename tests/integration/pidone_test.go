package integration

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What a command does to everybody as the child of PID 1 ends as it does under tini.
func TestSignalsToEverybody(t *testing.T) {
	needRoot(t)
	tini := needCommand(t, "tini-static")
	needCommand(t, "pkill")
	// Those that are to be hit are there before the signal: each has told.
	const others = `(trap "" HUP; echo there; exec sleep 1000) & setsid sh -c "echo there; exec sleep 1000" & `
	for name, tt := range map[string]struct {
		script string
		status int
	}{
		"SIGKILL":               {others + `kill -9 -1; exit 5`, 5},
		"SIGKILL, then it dies": {others + `kill -9 -1; kill -9 $$`, 137},
		"SIGTERM":               {others + `kill -TERM -1; kill -TERM $$`, 143},
		"SIGTERM, handled":      {others + `trap "exit 7" TERM; kill -TERM -1; exit 6`, 6},
		"SIGSTOP":               {others + `kill -STOP -1; exit 4`, 4},
		"by name":               {others + `pkill -9 finite; pkill -9 tini; pkill -9 supervisor; exit 7`, 7},
		"SIGKILL to PID 1":      {others + `kill -9 1; kill -STOP 1; exit 8`, 8},
		"SIGKILL all the time": {
			others + `(sleep 1000 & sleep 1000) & kill -9 -1; kill -9 -1; (exit 9); exit $?`, 9,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for program, args := range map[string][]string{
				"finite":                 {finiteBin, "--"},
				"finite with a deadline": {finiteBin, "-t", "1h", "--"},
				"tini":                   {tini, "--"},
			} {
				r := startSpec(t, cageSpec{Mode: asInit, Args: append(args, "sh", "-c", tt.script)}, nil).wait()
				if r.status != tt.status {
					t.Errorf("%s: status %d, want %d\nstderr: %s", program, r.status, tt.status, r.stderr)
				}
				wantCalm(t, r)
			}
		})
	}
}

// As PID 1 a SIGKILL from outside is the end of everything, at once.
func TestInitIsKilledFromOutside(t *testing.T) {
	for _, options := range [][]string{nil, {"-t", "1h"}} {
		c := start(t, asInit, append(options, "--", "sh", "-c",
			fugitives+"echo ready; while :; do sleep 1000; done")...)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGKILL)
		if r := c.wait(); r.status != -int(unix.SIGKILL) {
			t.Errorf("status %d", r.status)
		}
	}
}

// A line that finite says before it kills everybody is seen, though its writer is one of them.
func TestLineBeforeTheKill(t *testing.T) {
	forModes(t, allModes, testLineBeforeTheKill)
}

func testLineBeforeTheKill(t *testing.T, m mode) {
	t.Parallel()
	for range 20 {
		r := run(t, m, "-t", "20ms", "-k", "0", "--", "sleep", "1000")
		r.want(t, 124)
		r.wantLine(t, "the deadline was reached: SIGKILL to everything")
		r = run(t, m, "-t", "300ms", "-k", "20ms", "--", "sh", "-c", `trap "" TERM; while :; do sleep 1000; done`)
		r.want(t, 124)
		const over = "finite: the grace time is over: SIGKILL to everything that is left\n"
		if !strings.Contains(r.stderr, over) || m == asInit && strings.Count(r.stderr, "\n") != 2 {
			t.Errorf("stderr: %q", r.stderr)
		}
	}
}
