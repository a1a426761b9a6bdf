package tree

import (
	"time"

	"github.com/finite-init/finite/internal/procfs"
)

// The stat of a process that is stuck in execve(2) does not come for as long as that is so. One such
// process must not keep the others from being signalled, and the reaper waiting.
const (
	lookLimit = 100 * time.Millisecond // for one stat, which takes 20 µs
	mostHung  = 1                      // that keep a thread each; then no stat is read any more
	allLooks  = 24 * time.Hour         // for all of them together: no limit
)

// look returns the parent of a process, and when that was started. 0: its stat does not come, and
// the parent is what its status says, which never hangs.
func (t *Tree) look(pid int) (ppid int, start uint64, err error) {
	if _, hangs := t.hung[pid]; !hangs {
		if st, ok, err := t.stat(pid); ok {
			return st.PPID, st.StartTime, err
		}
	}
	status, err := t.proc.Status(pid)
	return status.PPID, 0, err
}

// stat reads the stat of a process, and notes it where that does not come in time.
func (t *Tree) stat(pid int) (st procfs.Stat, ok bool, err error) {
	type answer struct {
		stat procfs.Stat
		err  error
	}
	if t.looks == nil {
		t.looks = procfs.NewLimited(t.kernel.NewProc, lookLimit, allLooks, mostHung)
	}
	lost := t.looks.Lost
	a, ok := procfs.Within(t.looks, func(p *procfs.Proc) answer {
		st, err := p.Stat(pid)
		return answer{st, err}
	})
	if t.looks.Lost > lost {
		if t.hung == nil {
			t.hung = make(map[int]struct{})
		}
		t.hung[pid] = struct{}{}
	}
	return a.stat, ok, a.err
}

// endLooks lets go of the reader.
func (t *Tree) endLooks() {
	if t.looks != nil {
		t.looks.Close()
		t.looks = nil
	}
}
