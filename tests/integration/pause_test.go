package integration

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A pause reaps what comes from elsewhere, and ends with it.
func TestPause(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT} {
		// A subreaper gets orphans that its caller's children leave only as PID 1; here they come
		// from a shell that finite replaced.
		c := startSpec(t, cageSpec{Mode: asInit, Args: []string{
			"/bin/sh", "-c", `(setsid sh -c 'echo orphan; trap "" TERM; while :; do sleep 0.1; done' &); ` +
				`exec "$0" --pause -vv -k ` + stretch("300ms"), finiteBin,
		}}, nil)
		c.stdout.await(t, "orphan")
		c.stderr.await(t, "waiting for a signal")
		c.signal(unix.SIGUSR1) // there is nobody to pass it on to
		c.signal(sig)
		r := c.wait()
		r.want(t, 0)
		if !strings.Contains(r.stderr, "killed 1 process that had been there") &&
			!strings.Contains(r.stderr, "killed 2 processes that had been there") {
			t.Errorf("stderr %q", r.stderr)
		}
	}
	forModes(t, allModes, func(t *testing.T, m mode) {
		run(t, m, "--pause", "-t", stretch("100ms")).want(t, 124)
		run(t, m, "--pause", "-t", stretch("100ms"), "--timeout-exit", "0").want(t, 0)
	})
}

// Zombies that come when there was no child are reaped too: the namespace's PID 1 has the orphans
// of who came in from outside.
func TestPauseReapsLateOrphans(t *testing.T) {
	c := start(t, asInit, "--pause", "-vv")
	c.stderr.await(t, "waiting for a signal")
	enter := func(script string) string {
		t.Helper()
		cmd := exec.Command(needCommand(t, "nsenter"), "-t", strconv.Itoa(c.pid()), "-p", "-m", "sh", "-c", script)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	for range 5 {
		enter(`(exec true &); exit`) // whose parent does not wait
		deadline := time.Now().Add(patience())
		for strings.Contains(enter(`cat /proc/[0-9]*/stat 2>/dev/null; true`), ") Z 1 ") {
			if time.Now().After(deadline) {
				t.Fatal("a zombie stays")
			}
		}
	}
	c.signal(unix.SIGTERM)
	c.wait().want(t, 0)
}
