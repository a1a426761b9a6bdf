package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// finiteBin is the binary under test.
var finiteBin string

// The test binary is also what runs inside a cage: roleEnv says as what.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		playRole(role)
		os.Exit(99)
	}
	dir, err := os.MkdirTemp("", "finite-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// build puts the binary where every user can execute it: cages change user.
func build(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	given := os.Getenv("FINITE_BIN")
	finiteBin = filepath.Join(dir, "finite")
	if given != "" {
		return copyFile(finiteBin, given)
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-E github.com/finite-init/finite/signals.entry", "-o", finiteBin, "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, text)
	}
	return nil
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// missing skips a test for want of something, or fails it where nothing may be skipped.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("FINITE_TEST_REQUIRE") == "all" {
		t.Fatalf("required: "+format, args...)
	}
	t.Skipf(format, args...)
}

func needCommand(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed", name)
	}
	return path
}
