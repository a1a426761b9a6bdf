package inspect

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
)

// Kernel is what an inspection asks of the kernel. Tests simulate one.
type Kernel interface {
	// Processes returns the root of the tree and this process.
	Processes() (root, self int)
	NewProc() *procfs.Proc
	Kill(pid int, sig unix.Signal) error
}

// Leaf is the cgroup of a tree: a [github.com/finite-init/finite/nsutil/cgroup.Cgroup].
type Leaf interface {
	PIDs(pids []int) ([]int, error)
}

func orNone(leaf *cgroup.Cgroup) Leaf {
	if leaf == nil {
		return nil
	}
	return leaf
}

// linux is the kernel of this machine.
type linux struct{}

func (linux) Processes() (root, self int)         { return nsutil.Root(), os.Getpid() }
func (linux) NewProc() *procfs.Proc               { return procfs.NewProc() }
func (linux) Kill(pid int, sig unix.Signal) error { return unix.Kill(pid, sig) }
