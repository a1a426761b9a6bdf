package integration

import (
	"os/exec"
	"testing"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

type denial = testkit.Denial

// What other packages of tests use as well.
var (
	must        = cage.Must
	children    = cage.Children
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

func TestMain(m *testing.M) {
	cage.Main(m, roles, func(string) error {
		finiteBin = cage.Finite
		return nil
	})
}

func needCommand(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "%s is not installed", name)
	}
	return path
}
