//go:build amd64

package faults

import (
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// Cases that have found defects of finite find none any more. A schedule that shows a defect does
// not come every time, so such a case is played several times.
var found = []struct {
	defect string
	key    string
	times  int
}{
	{
		"a supervisor takes want of memory for the death of the keeper",
		"init/records/supervisor/recvmsg/2/ENOMEM", 1,
	},
	{
		"a supervisor that cannot send for want of memory ends the run without a word",
		"init/verbose/supervisor/sendmsg/1/ENOBUFS", 1,
	},
	{
		"a deadline that a supervisor tells of just before its death is forgotten",
		"init/verbose/supervisor/write/2/SIGKILL", 10,
	},
	{
		"a supervisor that is an ordinary child counts as what the command has left",
		"subreaper/records/keeper/clone/1/EPERM", 1,
	},
	{
		"a keeper whose last message to the front finds no room has told no status",
		"subreaper/records/keeper/sendmsg/7/EAGAIN", 1,
	},
	{
		"a front that was stopped while the keeper's namespaces were made leaves the keeper behind",
		"subreaper/planned/front/chdir/1/SIGSTOP", 5,
	},
	{
		"a front that was stopped while it waits for a planner does not look again",
		"subreaper/planned/front/waitid/21/SIGSTOP", 4,
	},
	{
		"a front that fails after the plan was made leaves the planner behind",
		"subreaper/planned/front/socketpair/3/ENFILE", 1,
	},
}

func TestFound(t *testing.T) {
	needTracing(t)
	w := startWorkers(t, 1)[0]
	defer w.end()
	canaries := testkit.KeepCanaries(t)
	sum := newSummary()
	for _, f := range found {
		c, err := parseCase(f.key)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(f.defect, func(t *testing.T) {
			for range f.times {
				play(t, w, c, sum, canaries)
			}
		})
	}
}
