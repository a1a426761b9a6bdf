package pid1

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/machine"
)

// world is everything the runner does to the world. Tests put their own in the place of the real
// ones, so that the runner can be tried in a bubble of testing/synctest. The methods are called by
// the owner. None blocks but Close, which is bounded, and a signal to a group, which may wait 0.2 s
// for the keeper.
type world interface {
	// Start begins to start the command, away from the owner. It answers with EvStarted or
	// EvStartFailed, and after that with what becomes of children.
	Start()
	// Note is told of an event before the machine is.
	Note(ev *machine.Event)
	// Do carries out an action. The error is that of a signal.
	Do(a *machine.Action) error
	// PassOn says which signals are passed on without asking the owner, from now on.
	PassOn(pidfd int, rules machine.Rules)
	// Latest announces when the run should be over, and with which status; less than 0: that
	// is not known. A deadline was reached, or not.
	Latest(d time.Duration, status int, reached bool)
	// WatchParent has sig sent to this process when its parent ends, and reports whether the parent
	// is gone already.
	WatchParent(sig unix.Signal) (gone bool, err error)
	// Identify returns the name of a signal's sender, if it can be had.
	Identify(pid int) string
	// Gone reports whether the command is a zombie already.
	Gone() bool
	// Empty reports whether no process is left: as PID 1 in the PID namespace, otherwise in the
	// command's cgroup. Such a process need not be a child.
	Empty() bool
	// OOMKills returns how many processes the kernel has ended for want of memory since it was
	// called last, or since the start. Where nothing was counted yet when SIGKILL ended the
	// command, it is since the cgroup was made: ever.
	OOMKills(killed bool) (n int, ever bool)
	// Without lists what is missing.
	Without() []string
	// Close gives everything back: the terminal, descriptors, goroutines, the cgroup. Where no
	// process is left, the removal of the cgroup may take a moment.
	Close(nobodyLeft bool) error
}

// clock is what runs until something is called once.
type clock interface {
	Close() bool // stops it; false: it was over
}
