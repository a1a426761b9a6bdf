// Package cage runs what a test is about in a PID namespace of its own, where nothing that goes
// wrong is left behind: PID 1 of it is the test binary itself, and everybody ends with PID 1.
//
// A test binary that uses cages has Main as its TestMain, and roles: what it plays inside. The
// outside is Start and Cage, the inside Enter, Fork, Wait and Tell. Outside and inside share one
// pipe, by which the inside tells what it has seen, as JSON.
package cage

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// The environment of a process that plays a role. Variables that begin with own are those of tests.
const (
	own      = "TEST_FINITE_"
	roleEnv  = own + "ROLE"
	orderEnv = own + "ORDER"
)

// Roles is what a test binary can play, by names.
type Roles map[string]func()

// The paths of executables that every user can execute.
var (
	Finite string
	Self   string // the test binary
)

// Main is a TestMain. A process that was given a role plays it. Otherwise the executables are put
// into a directory, where prepare can put others, and the tests run.
func Main(m *testing.M, roles Roles, prepare func(dir string) error) {
	if role := os.Getenv(roleEnv); role != "" {
		if play := roles[role]; play != nil {
			play()
		}
		os.Exit(99)
	}
	status, err := runTests(m, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func runTests(m *testing.M, prepare func(dir string) error) (status int, err error) {
	dir, err := os.MkdirTemp("", "finite-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if Finite, err = testkit.Build(dir); err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	Self = filepath.Join(dir, "cage")
	if err := testkit.CopyFile(Self, self); err != nil {
		return 1, err
	}
	if prepare != nil {
		if err := prepare(dir); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

// Plays is the environment variable that has the test binary play a role.
func Plays(role string) string { return roleEnv + "=" + role }

// Environ is the environment without what is the tests' own.
func Environ() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, own) {
			env = append(env, kv)
		}
	}
	return env
}

// Order reads what a process that plays a role was told.
func Order[T any]() (order T) {
	Must(json.Unmarshal([]byte(os.Getenv(orderEnv)), &order))
	return order
}

// environment is what makes the test binary play a role.
func environment(env []string, role string, order any) ([]string, error) {
	text, err := json.Marshal(order)
	return append(env, Plays(role), orderEnv+"="+string(text)), err
}
