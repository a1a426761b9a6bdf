package engines

import (
	"debug/elf"
	"os"
	"os/exec"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// need skips the test unless every named thing is there: "root", "cgroup2", "busybox" (a static
// one), or any other command. Where FINITE_TEST_REQUIRE=all, the test fails instead.
func need(t *testing.T, things ...string) {
	t.Helper()
	for _, thing := range things {
		if why := missing(thing); why != "" {
			testkit.Missing(t, "missing: %s", why)
		}
	}
}

func missing(thing string) string {
	switch thing {
	case "root":
		if os.Getuid() != 0 {
			return "root"
		}
	case "cgroup2":
		if _, err := cgroup2Mount(); err != nil {
			return err.Error()
		}
	case "busybox":
		path, err := exec.LookPath(thing)
		if err != nil {
			return "busybox (Debian: busybox-static)"
		}
		if !static(path) {
			return "a statically linked busybox (Debian: busybox-static)"
		}
	case "docker":
		if dockerClient() == "" {
			return "docker, the client (Debian: docker.io)"
		}
	default:
		if _, err := exec.LookPath(thing); err != nil {
			return thing
		}
	}
	return ""
}

// static reports whether an executable needs no dynamic loader, which an image from scratch does
// not have.
func static(path string) bool {
	f, err := elf.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false
		}
	}
	return true
}
