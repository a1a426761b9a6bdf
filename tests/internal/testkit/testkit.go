// Package testkit is what several packages of process tests have in common: the binary under test,
// limits, and system calls that are refused.
package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What the tests are told by the environment. A variable that begins with FINITE_ is an option to
// finite, so none of these stays there.
var (
	given    = takeVariable("FINITE_BIN")          // the binary under test; empty: it is built
	required = takeVariable("FINITE_TEST_REQUIRE") // all: nothing may be skipped

	slowVariable = takeVariable("FINITE_TEST_SLOW") // what Slow is to say; empty: it measures
)

func takeVariable(name string) string {
	value := os.Getenv(name)
	_ = os.Unsetenv(name)
	return value
}

// Build puts the binary under test into dir, where every user can execute it, and returns its path:
// FINITE_BIN, or one that it builds.
func Build(dir string) (string, error) {
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "finite")
	if given != "" {
		return path, CopyFile(path, given)
	}
	cmd := exec.Command("go", "build",
		"-buildvcs=false", "-ldflags", "-E github.com/finite-init/finite/internal/keeper.entry", "-o", path,
		"github.com/finite-init/finite")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, text)
	}
	return path, nil
}

// CopyFile copies an executable.
func CopyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// Missing skips a test for want of something, or fails it where nothing may be skipped.
func Missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if required == "all" {
		t.Fatalf("required: "+format, args...)
	}
	t.Skipf(format, args...)
}

// StartLocked starts a command from a thread that lives as long as the test binary: the parent
// death signal follows the thread.
func StartLocked(cmd *exec.Cmd) error {
	done := make(chan error)
	startOn <- func() { done <- cmd.Start() }
	return <-done
}

var startOn = func() chan func() {
	ch := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range ch {
			f()
		}
	}()
	return ch
}()

// FullPipe returns the writing end of a pipe that is full and that nobody reads, until the test
// ends.
func FullPipe(t *testing.T) *os.File {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	for size := 4096; size > 0; size /= 2 {
		for {
			if _, err := unix.Write(p[1], make([]byte, size)); err != nil {
				break
			}
		}
	}
	if _, err := unix.FcntlInt(uintptr(p[1]), unix.F_SETFL, 0); err != nil {
		t.Fatal(err)
	}
	w := os.NewFile(uintptr(p[1]), "full pipe")
	t.Cleanup(func() {
		unix.Close(p[0])
		w.Close()
	})
	return w
}

// BrokenPipe returns the writing end of a pipe that nobody can read, until the test ends.
func BrokenPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	t.Cleanup(func() { w.Close() })
	return w
}
