package effects

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/tree"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Kernel is what Direct, and what both kinds of effects have, ask of the kernel. Tests simulate
// one, so that everything above it is tried as it is.
type Kernel interface {
	tree.Kernel
	// Reaper is the reaper's; nil: this machine's.
	Reaper() reap.Kernel
	BecomeSubreaper() error
	// Start starts the command, in the foreground of a terminal if tty is not -1, and has so many
	// threads ready before that. It is called by the reaper.
	Start(c *spawn.Command, tty, threads int) Started
	// Terminal reports whether there may be a terminal.
	Terminal() bool

	// Send and SendPID are those of package signals.
	Send(pidfd int, sig signals.Signal, group bool) error
	SendPID(pid int, sig signals.Signal) error
	Getpgid(pid int) (int, error)
	// Readable reports whether the process of a pidfd has ended, and Watch waits for that.
	Readable(pidfd int) bool
	Watch(pidfd int) (Watched, error)

	// HaveDescriptors asks whether there are that many.
	HaveDescriptors(n int) error
	// OOM returns what counts, and what it counts now; nil where nothing does.
	OOM() (OOMCounter, int)
}

// Started is what became of a start.
type Started struct {
	Pid      int // 0: there is no command
	Pidfd    int // -1 where the kernel gave none
	InCgroup bool
	NoCgroup error       // why it is not in its cgroup; nil where it is, or has none
	Step     ending.Step // where Err is not nil, what failed
	Err      error
}

// Watched is the end of a process that is waited for. Close ends the wait.
type Watched interface {
	Wait() error
	Close()
}

// OOMCounter counts what the kernel ends for want of memory.
type OOMCounter interface {
	Count() (int, error)
	Close()
}

// Leaf is the command's cgroup, as far as effects need it.
type Leaf interface {
	tree.Leaf
	Populated() (bool, error)
	Thaw()
	Remove(limit time.Duration) error
}

// linux is the kernel of this machine.
type linux struct{ tree.Kernel }

var theLinux Kernel = linux{tree.Linux}

func (linux) Reaper() reap.Kernel    { return nil }
func (linux) BecomeSubreaper() error { return nsutil.BecomeSubreaper() }
func (linux) Terminal() bool         { return true }

func (linux) Start(c *spawn.Command, tty, threads int) Started {
	ReserveThreads(threads)
	defer SettleThreads()
	if c == nil {
		return Started{}
	}
	child, err := spawn.StartChild(c, tty)
	if err != nil {
		return Started{Step: err.Step, Err: err.Err}
	}
	return Started{Pid: child.Pid, Pidfd: child.Pidfd, InCgroup: child.How.Cgroup >= 0, NoCgroup: child.Err}
}

func (linux) Send(pidfd int, sig signals.Signal, group bool) error {
	return signals.Send(pidfd, sig, group)
}

func (linux) SendPID(pid int, sig signals.Signal) error { return signals.SendPID(pid, sig) }
func (linux) Getpgid(pid int) (int, error)              { return unix.Getpgid(pid) }

// Readable is poll(2) of a pidfd, Linux 5.3.
func (linux) Readable(pidfd int) bool     { return sys.Readable(pidfd) }
func (linux) HaveDescriptors(n int) error { return HaveDescriptors(n) }

// Watch polls a copy of the pidfd, which becomes non-blocking: that matters to waitid(2) with
// P_PIDFD alone, which finite does not use.
func (linux) Watch(pidfd int) (Watched, error) {
	fd, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_ = unix.SetNonblock(fd, true) // clone(2) does not make it so, and the runtime polls nothing else
	file, err := sys.NewFile(fd, "pidfd")
	if err != nil {
		return nil, err
	}
	return file, nil
}

func (linux) OOM() (OOMCounter, int) {
	counter, n := OpenOOMCounter()
	if counter == nil {
		return nil, 0
	}
	return counter, n
}
