package integration

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

type denial = testkit.Denial

// What other packages of tests use as well.
var (
	missing     = testkit.Missing
	copyFile    = testkit.CopyFile
	startLocked = testkit.StartLocked
	room        = testkit.Room
	limited     = testkit.Limited
	within      = testkit.Within
	joins       = testkit.Joins
	procs       = testkit.Procs
	patience    = testkit.Patience
	stretch     = testkit.Stretch
	stretched   = testkit.Stretched
	complete    = testkit.Complete
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
	if finiteBin, err = testkit.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func needCommand(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed", name)
	}
	return path
}
