// Package engines runs the built finite under real engines: dockerd, runc and podman, each on
// cgroup v2.
//
// Everything happens in one room (see room): namespaces and a cgroup of their own, made for this
// run of the tests. Whatever way the tests end, killed included, nothing of it stays behind: no
// process, mount, cgroup, directory or file.
//
// FINITE_BIN is the absolute path of the binary under test; without it, the module is built. What
// is missing on the machine skips tests, in one line, or fails them where FINITE_TEST_REQUIRE=all.
package engines

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) == roleJanitor {
		os.Exit(janitor(os.Args[1], os.Args[2]))
	}
	os.Exit(run(m))
}

func run(m *testing.M) (status int) {
	defer func() {
		if err := closeRoom(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL: the room of the engines could not be removed:", err)
			status = max(status, 1)
		}
	}()
	return m.Run()
}
