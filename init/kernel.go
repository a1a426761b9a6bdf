package pid1

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

// clock is what runs until something is called once.
type clock interface {
	close() bool // stops it; false: it was over
}

// passRules are the signals that are passed on without asking.
type passRules struct {
	set       signals.Set // as they are
	rewritten signals.Set // as Config.Rewrite has it
	told      bool        // the owner wants to hear of each
}

// kernel is everything the runner does to the world. The real one is [host]; tests put another in
// its place, so that the runner can be tried in a bubble of testing/synctest. All methods but start
// are called by the owner; none of them blocks.
type kernel interface {
	// start begins to start the command, away from the owner. It answers with evStarted or
	// evStartFailed, and after that with what the reaper sees.
	start()
	// passOn says which signals are passed on without asking the owner, from now on.
	passOn(pidfd int, rules passRules)
	// noteFact is told of what begins an ending, or goes on with one, before that is acted on.
	noteFact(ev event)
	// latest announces when the run should be over, and with which status; less than 0: nobody
	// knows. A deadline was reached, or not.
	latest(d time.Duration, status int, reached bool)
	// alarm calls fire after d.
	alarm(d time.Duration, fire func()) clock
	// adopt takes over the command that evStarted is about.
	adopt(pid, pidfd int, inLeaf bool)
	// watchParent has sig sent to this process when its parent ends, and reports whether the parent
	// is gone already.
	watchParent(sig unix.Signal) (gone bool, err error)
	// signal sends sig to target, with the value that it came with.
	signal(target Forward, sig signals.Signal) error
	// identify returns the name of a signal's sender, if it can be had.
	identify(pid int) string
	// gone reports whether the command is a zombie already.
	gone() bool
	// terminate sends sig and SIGCONT to the whole tree, once.
	terminate(sig unix.Signal)
	// thaw thaws the command's cgroup, away from the owner.
	thaw()
	// killTree sends SIGKILL to the whole tree until close.
	killTree()
	// empty reports whether nobody is left, who need not be a child: in the PID namespace that this
	// process is PID 1 of, in the command's cgroup.
	empty() bool
	// oomKills returns how many processes the kernel has ended for want of memory since it was
	// called last, or since the start.
	oomKills() int
	// look makes a resting reaper look again.
	look()
	// suspend stops finite's own process group, if somebody is there to resume it.
	suspend()
	// foreground hands the terminal to the command, if finite's group has it.
	foreground()
	// dump takes a snapshot of the tree, away from the owner, and answers with evDumped.
	dump()
	// survey describes who is left, away from the owner, and answers with evSurvivors.
	survey()
	// without lists what is missing.
	without() []string
	// close gives everything back: the terminal, descriptors, goroutines, the cgroup. Where nobody
	// is left, it may take a moment until that can be removed.
	close(nobodyLeft bool) error
}
