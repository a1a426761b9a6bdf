package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

var marks atomic.Int64

// newMark returns an environment variable that all processes of one tree inherit, and nobody else
// on the machine.
func newMark() string {
	return fmt.Sprintf("ENGINES_MARK=%d.%d", os.Getpid(), marks.Add(1))
}

// marked lists the processes of the machine that have the mark. A zombie has no environment and is
// not seen.
func marked(mark string) []string {
	var found []string
	paths, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range paths {
		env, err := os.ReadFile(path)
		if err != nil || !strings.Contains("\x00"+string(env), "\x00"+mark+"\x00") {
			continue
		}
		args, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		found = append(found, filepath.Base(filepath.Dir(path))+" "+strings.ReplaceAll(string(args), "\x00", " "))
	}
	return found
}

// checkGone fails if a process with the mark is left on the machine.
func checkGone(t *testing.T, mark string) {
	t.Helper()
	if left := marked(mark); len(left) > 0 {
		t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
	}
}
