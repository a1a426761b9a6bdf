package tree

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
)

// Kernel is what a Tree asks of the kernel. Tests simulate one.
type Kernel interface {
	// Processes returns the root of the tree and this process.
	Processes() (root, self int)
	// MaxPID is what the numbers of processes are below.
	MaxPID() int
	NewProc() *procfs.Proc

	// Open opens a file of /proc for reading.
	Open(name string, flags int) (fd int, err error)
	Read(fd int, p []byte) (int, error)
	Close(fd int)

	Kill(pid int, sig unix.Signal) error
	PidfdOpen(pid int) (fd int, err error)
	PidfdSendSignal(pidfd int, sig unix.Signal) error
	// IsChild reports whether pid is a child of this process that was not reaped.
	IsChild(pid int) bool
}

// Leaf is the cgroup of a tree: a [github.com/finite-init/finite/nsutil/cgroup.Cgroup].
type Leaf interface {
	Kill() error
	WaitEmpty(limit time.Duration) bool
	PIDs(pids []int) ([]int, error)
}

// Linux is the kernel of this machine.
var Linux Kernel = linux{}

type linux struct{}

const maxPID = 1 << 22 // PID_MAX_LIMIT (proc_sys_kernel(5))

func (linux) Processes() (root, self int)                 { return nsutil.Root(), os.Getpid() }
func (linux) MaxPID() int                                 { return maxPID }
func (linux) NewProc() *procfs.Proc                       { return procfs.NewProc() }
func (linux) Open(name string, flags int) (int, error)    { return procfs.Open(name, flags) }
func (linux) Read(fd int, p []byte) (int, error)          { return sys.Read(fd, p) }
func (linux) Close(fd int)                                { sys.Close(fd) }
func (linux) Kill(pid int, sig unix.Signal) error         { return unix.Kill(pid, sig) }
func (linux) PidfdOpen(pid int) (int, error)              { return sys.PidfdOpen(pid) }
func (linux) PidfdSendSignal(fd int, s unix.Signal) error { return sys.PidfdSendSignal(fd, s) }
func (linux) IsChild(pid int) bool                        { return sys.IsChild(pid) }
