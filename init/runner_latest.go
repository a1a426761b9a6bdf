package pid1

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
)

// announceLatest says when what is under way should be over.
func (r *runner) announceLatest() {
	cfg, o := r.cfg, r.m.Outcome()
	at, known := r.m.KillAt()
	left := max(at-time.Since(r.epoch), 0)
	switch {
	case o.State == ending.StateStarting || o.State == ending.StateRunning:
		killAfter := r.policy.Ending.KillAfter()
		left, known = time.Until(r.started.Add(cfg.Timeout))+killAfter, cfg.Timeout > 0
		if !cfg.Deadline.IsZero() {
			byWall := max(time.Until(cfg.Deadline), 0) + killAfter
			if !known || byWall < left {
				left, known = byWall, true
			}
		}
	case !known:
		return // what was announced before holds
	}
	status := 128 + int(unix.SIGKILL)
	if o.State < ending.StateStopping || o.Cause.Kind == ending.KindDeadline {
		status = r.policy.ExitStatus(
			ending.Cause{Kind: ending.KindDeadline, Known: true, Signal: unix.SIGKILL},
			true,
		)
	}
	if known && r.policy.GiveUp != ending.Never {
		left += r.policy.GiveUp + machine.SurveyLimit + latestMargin
		if r.policy.Dumps() {
			left += 2 * machine.DumpLimit
		}
	} else {
		left = -1
	}
	r.effects.Latest(left, status, o.Overdue)
}

// latestMargin is what an ending may take beyond its own times.
const latestMargin = 2 * time.Second
