package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// finiteBin is the binary under test; finiteRace the same with the race detector, empty where there is no C compiler.
var finiteBin, finiteRace string

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

func build(dir string) error {
	// Cages change user: what they run must be within everybody's reach.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	finiteBin = os.Getenv("FINITE_BIN")
	if finiteBin == "" {
		finiteBin = filepath.Join(dir, "finite")
		if err := goBuild(finiteBin, "CGO_ENABLED=0"); err != nil {
			return err
		}
	} else if err := copyFile(filepath.Join(dir, "finite"), finiteBin); err != nil {
		return err
	} else {
		finiteBin = filepath.Join(dir, "finite")
	}
	if _, err := exec.LookPath("gcc"); err == nil {
		finiteRace = filepath.Join(dir, "finite-race")
		return goBuild(finiteRace, "CGO_ENABLED=1", "-race")
	}
	return nil
}

func goBuild(out, env string, flags ...string) error {
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", out, "../..")...)
	cmd.Env = append(os.Environ(), env)
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

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "needs root")
	}
}
