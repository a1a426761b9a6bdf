//go:build amd64 || arm64

package pid1

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
)

// The start of the command by a keeper: what that is told before, and in which ways it tries.

// start has the keeper start the command, in its cgroup if it is to have one.
func (k *linked) start() {
	if k.cfg.Pause {
		m := keeper.Message{Kind: keeper.KindPause}
		if k.events != nil {
			m.Count = 1
		}
		k.tell(m)
		return
	}
	k.quiet = k.isQuiet()
	for i, kv := range keeperEnviron() {
		if isOwn := k.cfg.dropsVariable; isOwn != nil && isOwn(kv) {
			k.tell(keeper.Message{Kind: keeper.KindDrop, Value: int32(i)})
		}
	}
	for _, fd := range k.cfg.Lifeline {
		if fd != LifelineParent { // its pidfd is the keeper's own
			k.tell(keeper.Message{Kind: keeper.KindKeep, Value: int32(fd)})
		}
	}
	for _, target := range []string{k.cfg.Report, k.cfg.StateFile, k.cfg.Events} { // another supervisor opens them again
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
	k.tryStart()
}

// tryStart asks for the start in the ways that there are, one after the other: cloned into the
// cgroup, moved there, and without it.
func (k *linked) tryStart() {
	m := keeper.Message{Kind: keeper.KindStart, Value: int32(len(os.Args) - len(k.cfg.Args))}
	m.Times = [2]int64{int64(k.cfg.Timeout), int64(k.cfg.ladders.ending.killAfter())}
	if k.cfg.Forward != ForwardChild {
		m.Count |= keeper.StartGroup
	}
	if k.cfg.enforces() {
		m.Count |= keeper.StartEnforce
	}
	if k.events != nil {
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
		fd = k.cfg.leaf.FD()
	}
	k.tried++
	_ = k.link.Tell(m, fd)
}

// cgroupWays is in how many ways the command may get into its cgroup. The last one is to move
// there, and the only one into a cgroup that a planner has made, since it has opened what that
// needs.
func (k *linked) cgroupWays() int {
	switch {
	case k.link.Facts.Planned && k.link.Facts.Cgroup >= 0:
		return 1
	case k.cfg.leaf != nil:
		return 2
	}
	return 0
}

// notStarted is called by listen.
func (k *linked) notStarted(err unix.Errno, why int32) {
	cloneFailed := why == keeper.NotCloned && !isExhausted(err)
	ways, required := k.cgroupWays(), k.cfg.Cgroup == CgroupRequire
	if (why == keeper.NotInCgroup || cloneFailed) && (k.tried < ways || k.tried == ways && ways > 0 && !required) {
		k.tryStart()
		return
	}
	step, failure := StepExec, error(err)
	switch why {
	case keeper.NotCloned:
		step = StepClone
	case keeper.NotFound:
		step = StepLookup
	}
	if ways > 0 && required && (why == keeper.NotInCgroup || cloneFailed) {
		step, failure = StepCgroup, fmt.Errorf("--cgroup require: %w", err)
	}
	k.post(event{kind: evStartFailed, step: step, err: failure})
}
