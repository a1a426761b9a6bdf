package integration

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Wrong uses are scripts of testdata/script. They need no cage, because nothing is started.
func TestWrongUses(t *testing.T) {
	runScripts(t, "testdata/script")
}

// Only a build with the entry point has namespaces.
func TestWrongUsesOfNamespaces(t *testing.T) {
	runScripts(t, "testdata/script/namespaces")
}

func runScripts(t *testing.T, dir string) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("FINITE", finiteBin)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"refused": refused},
	})
}

// refused is the command of the scripts that runs a wrong use. The use must end with 125, say one
// line, and write nothing to its stdout. It returns when nobody holds its stdout or stderr any
// more.
func refused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: refused program [args...]")
	}
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 125 {
		ts.Fatalf("%v, want exit status 125", err)
	}
	if said := ts.ReadFile("stderr"); !strings.HasPrefix(said, "finite: ") || strings.Count(said, "\n") != 1 {
		ts.Fatalf("stderr is %q, want one line of finite's", said)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout is %q, want nothing", out)
	}
}
