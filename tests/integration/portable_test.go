package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A build without the entry point, as go install makes it, works through os/signal: it says so, and what it can catch it forwards.
func TestWithoutTheEntryPoint(t *testing.T) {
	needCommand(t, "perl")
	portable := filepath.Join(filepath.Dir(finiteBin), "portable")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", portable, "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	out, err := exec.Command(portable, "--version", "-v").Output()
	if err != nil || !strings.Contains(string(out), "signals: os/signal\n") {
		t.Errorf("%q, %v", out, err)
	}
	forModes(t, allModes, func(t *testing.T, m mode) {
		c := startSpec(t, cageSpec{Mode: m, Args: []string{portable, "-vv", "--", "perl", "-MConfig", "-e", recorder}}, nil)
		c.stdout.await(t, "ready")
		c.stderr.await(t, "all signals are caught")
		for sig := unix.Signal(1); sig <= 64; sig++ {
			switch sig {
			case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGALRM: // the last ends the recorder
			case unix.SIGURG, unix.SIGPROF, 32, 33, 34: // the Go runtime's, and the C library's
			default:
				c.signal(sig)
				c.stdout.await(t, "got "+strconv.Itoa(int(sig))+"\n")
			}
		}
		c.signal(unix.SIGALRM)
		c.wait().want(t, 42)

		for status, args := range map[int][]string{
			7: {"sh", "-c", "exit 7"}, 143: {"sh", "-c", "kill -TERM $$"}, 127: {"/no/such/command"}, 126: {"/etc/passwd"},
		} {
			startSpec(t, cageSpec{Mode: m, Args: append([]string{portable, "--"}, args...)}, nil).wait().want(t, status)
		}
		startSpec(t, cageSpec{Mode: m, Args: []string{
			portable, "-t", stretch("200ms"), "-k", stretch("100ms"), "--", "sh", "-c", `trap "" TERM; setsid sleep 1000 & sleep 1000`,
		}}, nil).wait().want(t, 124)
	})
}
