//go:build amd64 || arm64

package effects

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/internal/keeper"
)

// The start of the command by a keeper: what that is told before, and in which ways it tries.

// Start has the keeper start the command, in its cgroup if it is to have one, or pause.
func (k *Linked) Start() {
	k.keepWhatOptionsName()
	if k.Command == nil {
		m := keeper.Message{Kind: keeper.KindPause}
		if k.TellsChildren {
			m.Count = 1
		}
		k.tell(m)
		return
	}
	k.quiet = k.IsQuiet()
	for i, kv := range keeper.Environ() {
		if k.Own != nil && k.Own(kv) {
			k.tell(keeper.Message{Kind: keeper.KindDrop, Value: int32(i)})
		}
	}
	k.tryStart()
}

// keepWhatOptionsName has the keeper keep the descriptors and the directory that options name: the
// next supervisor opens them again.
func (k *Linked) keepWhatOptionsName() {
	for _, fd := range k.Lifeline {
		if fd != LifelineParent { // its pidfd is the keeper's own
			k.tell(keeper.Message{Kind: keeper.KindKeep, Value: int32(fd)})
		}
	}
	for _, target := range k.Records {
		fd, err := strconv.Atoi(strings.TrimPrefix(target, "fd:"))
		switch isFD := strings.HasPrefix(target, "fd:"); {
		case isFD && err == nil && fd > unix.Stderr:
			k.tell(keeper.Message{Kind: keeper.KindKeep, Value: int32(fd), Count: 1})
		case isFD && err == nil:
			k.tell(keeper.Message{Kind: keeper.KindKeep, Value: int32(fd)})
		case target != "" && !path.IsAbs(target):
			k.tell(keeper.Message{Kind: keeper.KindKeepDirectory})
		}
	}
}

// tryStart asks for the start in the ways that there are, one after the other: cloned into the
// cgroup, moved there, and without it.
func (k *Linked) tryStart() {
	m := keeper.Message{Kind: keeper.KindStart, Value: int32(len(os.Args) - len(k.Command.Args))}
	m.Times = [2]int64{int64(k.Timeout), int64(k.KillAfter)}
	if k.Forward != ending.ForwardChild {
		m.Count |= keeper.StartGroup
	}
	if k.Enforces {
		m.Count |= keeper.StartEnforce
	}
	if k.TellsChildren {
		m.Count |= keeper.StartTellChildren
	}
	if k.quiet {
		m.Count |= keeper.StartQuiet
	}
	fd := -1
	switch ways := k.cgroupWays(); {
	case k.tried == ways-1:
		m.Count |= keeper.StartMove
	case k.tried < ways:
		fd = k.cgroup().FD()
	}
	k.tried++
	_ = k.link.Tell(m, fd)
}

// cgroupWays is in how many ways the command may get into its cgroup. The last one is to move
// there, and the only one into a cgroup that a planner has made, since it has opened what that
// needs.
func (k *Linked) cgroupWays() int {
	switch {
	case k.link.Facts.Planned && k.link.Facts.Cgroup >= 0:
		return 1
	case k.HasCgroup():
		return 2
	}
	return 0
}

// notStarted is called by Listen.
func (k *Linked) notStarted(err unix.Errno, why int32) {
	cloneFailed := why == keeper.NotCloned && !spawn.IsExhausted(err)
	ways, required := k.cgroupWays(), k.Command.CgroupRequired
	if (why == keeper.NotInCgroup || cloneFailed) &&
		(k.tried < ways || k.tried == ways && ways > 0 && !required) {
		k.tryStart()
		return
	}
	step, failure := ending.StepExec, error(err)
	switch why {
	case keeper.NotCloned:
		step = ending.StepClone
	case keeper.NotFound:
		step = ending.StepLookup
	}
	if ways > 0 && required && (why == keeper.NotInCgroup || cloneFailed) {
		step, failure = ending.StepCgroup, fmt.Errorf("a cgroup of its own is required: %w", err)
	}
	k.Post(machine.Event{Kind: machine.EvStartFailed, Step: step, Err: failure})
}
