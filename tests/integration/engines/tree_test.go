package engines

import (
	_ "embed"
	"strings"
	"testing"
)

// deafTree is a command that does not end: it and its tree ignore every polite request, and members
// leave by each of the usual doors. Each prints a line when it is there, and the first one another
// when all of them are. It begins with a newline, since it follows other scripts.
//
//go:embed testdata/deaf-tree.sh
var deafTree string

const deafMembers = 6

// checkDeafTree checks how deafTree ended at its deadline. The grace time is over in all of these.
func checkDeafTree(t *testing.T, out outcome) {
	t.Helper()
	out.check(t, 124)
	out.prints(t, "member", deafMembers)
	out.says(t, "finite: ", "deadline was reached", "SIGTERM", "finite: ", "SIGKILL")
	if strings.Contains(out.stderr, "gave up") { // as PID 1, the kernel would have hidden that
		t.Error("finite gave up")
	}
}
