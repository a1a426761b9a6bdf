package engines

import (
	"strings"
	"testing"
)

// deafTree is a command that does not end: it and its tree ignore every polite request, and members
// leave by each of the usual doors. Each prints a line when it is there, and the first one another
// when all of them are.
const deafTree = `
trap "" TERM INT QUIT HUP
member='echo member; exec sleep 10000'
{
	sh -c "$member" &                      # a child
	setsid sh -c "$member" &               # in a session of its own
	(sh -c "$member" &)                    # whose parent is gone
	(setsid sh -c "(sh -c '$member' &)" &) # both, and one further down
	(set -m; sh -c "$member" &)            # in a process group of its own
	sh -c 'echo member; kill -STOP $$' &   # stopped
} 2>/dev/null
wait
`

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
