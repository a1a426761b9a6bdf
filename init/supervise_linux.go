//go:build amd64 || arm64

package pid1

import (
	"context"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/cgroup"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Supervise is [Run] for a process that a keeper has forked: it decides, while the keeper clones,
// waits and passes signals on. Where the keeper has begun the run already, it goes on from there.
// Package keeper has the details. own says which variables of the environment are finite's own; the
// command does not see them.
func Supervise(ctx context.Context, link *keeper.Link, cfg Config, own func(string) bool) (Result, error) {
	facts := &link.Facts
	standardError = link.Stderr
	front := int(facts.Front)
	if startedPID, foreign = int(facts.Keeper), facts.Foreign; front != 0 {
		startedPID = front
	}
	if foreign { // this namespace has no number for the front
		front = 0
	}
	nsutil.WorkFor(int(facts.Keeper), front)
	older := make([]int, 0, facts.OlderCount)
	for _, pid := range facts.Older[:facts.OlderCount] {
		older = append(older, int(pid))
	}
	nsutil.Spare(older)
	if facts.Plain {
		cfg.Timeout = time.Duration(facts.Timeout)
		if cfg.Grace = time.Duration(facts.Grace); cfg.Grace == 0 {
			cfg.Grace = Off
		}
	}
	if facts.Planned {
		cfg.Unshare, cfg.Join, cfg.Hostname, cfg.MapRoot, cfg.planned = 0, nil, "", false, true
	}
	r := &runner{config: cfg}
	r.cfg = &r.config
	return r.superviseFor(ctx, link, own)
}

func (r *runner) superviseFor(ctx context.Context, link *keeper.Link, own func(string) bool) (result Result, err error) {
	cfg := r.cfg
	role := nsutil.CurrentRole()
	result.ExitStatus = StatusFailure
	cfg.until, _ = ctx.Deadline()
	if err := cfg.setDefaults(role); err != nil {
		return result, err
	}
	if err := reserveDescriptors(); err != nil {
		return result, err
	}
	if err := link.Listen(); err != nil {
		return result, err
	}
	facts := &link.Facts
	cfg.dropsVariable = own
	cfg.ignored = signals.Set(facts.Ignored)
	if cfg.parentFD = int(facts.ParentFD); cfg.parentFD < 0 && slices.Contains(cfg.Lifeline, LifelineParent) {
		return result, &UsageError{"Lifeline", "parent", "the parent process cannot be watched: it is in another PID namespace, or pidfd_open(2) is refused"}
	}
	r.init(role, &signals.Source{})
	if cfg.lifeline, err = newLifeline(cfg, func() { r.post(event{kind: evLifeline}) }); err != nil {
		return result, err
	}
	defer cfg.lifeline.close()
	begun := facts.Command != 0 || facts.Paused
	cfg.records = &linkedRecords{link, begun}
	if r.recorder, err = newRecorder(cfg, begun); err != nil {
		return result, err
	}
	switch r.eventLog, err = newEventLog(cfg, r.recorder, begun); {
	case err != nil:
	case facts.Cgroup >= 0:
		if cfg.leaf, cfg.noLeaf = cgroup.Adopt(int(facts.Cgroup)); facts.Planned {
			cfg.noLeaf = nil // another user namespace may not reach it; the planner does
		}
	case !begun && !facts.Planned: // else the planner would have made it
		err = makeLeaf(ctx, cfg)
	}
	if err != nil {
		if !begun {
			r.recorder.discard()
			r.eventLog.discard()
		}
		return result, err
	}
	r.eventLog.begin(begun)
	r.starts = int(facts.Starts)
	if r.dir = cfg.Dir; r.dir == "" && r.recorder != nil {
		r.dir, _ = os.Getwd() // it is left when the command runs
	}
	kernel := &linked{link: link, isQuiet: r.isQuiet, events: r.eventLog}
	kernel.init(cfg, role, r.post, r.done)
	r.kernel = kernel
	if begun {
		r.relive(facts)
	}
	if err := link.Tell(keeper.Message{Kind: keeper.KindHello}, -1); err != nil {
		return result, nil // the keeper is gone, and the front says so
	}
	go kernel.listen()
	if !facts.Plain && cfg.enforces() { // a fork bomb fills a limit within milliseconds
		reserveThreads(cfg.moreThreads())
		settleThreads()
	}
	if begun {
		return r.goOn(ctx, facts.Plain), nil
	}
	return r.run(ctx), nil
}

// isQuiet reports whether there is nothing to say, so far, of a command that soon exits by itself
// and leaves nobody: the exit status is its own, nobody is told of the end, and no line waits to be
// written.
func (r *runner) isQuiet() bool {
	cfg := r.cfg
	return r.recorder == nil && r.eventLog == nil && r.log.lines == nil && !r.log.enabled(levelDebug) &&
		len(cfg.Expect) == 0 && cfg.leaf == nil &&
		cfg.ParentDeath == 0 && len(cfg.Lifeline) == 0 && cfg.Deadline.IsZero() && len(cfg.Escalate) == 0
}

// goOn is run for a command that another supervisor, or the keeper, has started.
func (r *runner) goOn(ctx context.Context, plain bool) Result {
	r.begun, r.ctx = time.Now(), ctx
	r.unwatch = context.AfterFunc(ctx, func() { r.post(contextEvent(ctx)) })
	if r.m.alive && !plain {
		r.passOn(-1)
	}
	if !r.cfg.Deadline.IsZero() {
		r.wall = newAlarm(r.cfg.Deadline, func() { r.post(event{kind: evDeadline}) })
	}
	if r.cfg.Timeout > 0 && !r.m.late && r.m.cause.Kind != KindDeadline {
		left := max(time.Until(r.started.Add(r.cfg.Timeout)), time.Nanosecond)
		r.clock = r.kernel.alarm(left, func() { r.post(event{kind: evDeadline}) })
	}
	r.loop()
	return r.finish()
}

// keeperEnviron is the environment in the order in which the keeper has it.
func keeperEnviron() []string { return keeper.Environ() }

// moment is an event of the past.
type moment struct {
	at int64
	ev event
}

// relive tells the machine what has happened so far, as the facts have it. What came of it was done
// by the keeper, but for the kill of the tree, which is done again. Timers that it would have
// started go on.
func (r *runner) relive(facts *keeper.Facts) {
	pid := int(facts.Command)
	r.started = wallTime(facts.Started)
	r.eventLog.startAt(r.started)
	past := []moment{{facts.Started, event{kind: evPaused}}}
	if !facts.Paused {
		r.kernel.adopt(pid, int(facts.Pidfd), r.cfg.leaf != nil)
		past = []moment{
			{facts.Started, event{kind: evCloning}},
			{facts.Started, event{kind: evStarted, pid: pid, pidfd: int(facts.Pidfd), job: !facts.Group}},
		}
	}
	add := func(at int64, ev event) {
		if at != 0 {
			past = append(past, moment{at, ev})
		}
	}
	if s := facts.Stop; s.Number != 0 {
		sig := arrived(&s)
		sig.Passed = true
		add(facts.StopAt, event{kind: evSignal, signal: sig})
	}
	add(facts.DeadlineAt, event{kind: evDeadline})
	add(facts.LifelineAt, event{kind: evLifeline})
	for _, at := range facts.Rungs[:facts.RungCount] {
		add(at, event{kind: evTimer, timer: timerGrace})
	}
	switch {
	case facts.FrontGone:
		add(facts.KilledAt, event{kind: evFrontGone})
	case facts.DeadlineAt != 0:
		add(facts.KilledAt, event{kind: evTimer, timer: timerGrace})
	}
	add(facts.EndedAt, event{kind: evExited, change: change(facts.Ended)})
	add(facts.LeftoversAt, event{kind: evRemaining})
	r.m.endAsked = facts.LeftoversAt != 0 // they were not to be waited for
	slices.SortStableFunc(past, func(a, b moment) int { return int(min(max(a.at-b.at, -1), 1)) })
	for _, p := range past {
		for _, a := range r.m.handle(p.ev) {
			r.reliveAction(&a, time.Since(wallTime(p.at)))
		}
	}
	if facts.WasKilled() {
		counter, n := openOOMCounter()
		if counter.Close(); n > 0 {
			r.post(event{kind: evOOM, count: n, ever: true})
		}
	}
	counts := &r.m.counts
	counts.Forwarded, counts.Undelivered, counts.Orphans = int(facts.Forwarded), int(facts.Undelivered), int(facts.Orphans)
	counts.LeftoversTerminated, counts.LeftoversKilled = int(facts.Terminated+facts.Killed), 0
	if facts.KilledAt != 0 {
		counts.LeftoversTerminated, counts.LeftoversKilled = int(facts.Terminated), int(facts.Killed)
	}
}

// reliveAction is what is left of an action that was due some time ago.
func (r *runner) reliveAction(a *action, ago time.Duration) {
	at := max(time.Since(r.started)-ago, 0)
	switch a.kind {
	case actArm:
		r.arm(a.timer, max(a.length-ago, 0))
	case actDisarm:
		r.timers[a.timer].Stop()
	case actTransition:
		r.states = append(r.states, StateChange{a.to.String(), at})
	case actSend:
		r.ladder = append(r.ladder, Rung{Step: signals.Name(a.sig), Target: a.target.String(), Result: "sent", At: at})
		if a.sig == unix.SIGKILL { // at least once
			_ = r.kernel.signal(a.target, signals.Signal{Number: a.sig})
		}
	case actTerminate:
		r.ladder = append(r.ladder, Rung{Step: "leftovers", Target: "all", Result: "sent", At: at})
	case actKillTree:
		r.ladder = append(r.ladder, Rung{Step: "tree", Target: "all", Result: "sent", At: at})
		r.kernel.killTree()
	}
}

// arrived is a signal that the keeper tells of.
func arrived(s *keeper.Signal) signals.Signal {
	sig := signals.Arrived(s.Number, s.Code, s.PID, s.UID, s.Value)
	sig.Sender.Comm = unix.ByteSliceToString(s.Name[:])
	return sig
}

// wallTime is when CLOCK_MONOTONIC showed at.
func wallTime(at int64) time.Time {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Now().Add(-time.Duration(now.Nano() - at))
}

func change(c keeper.Change) reap.Change {
	return reap.Change{
		PID: int(c.PID), UID: int(c.UID), Code: reap.Code(c.Code), Status: int(c.Status),
		Rusage: reap.Rusage{User: time.Duration(c.User), System: time.Duration(c.System), MaxRSS: c.MaxRSS},
	}
}

// linkedRecords has the keeper remember which files the records are.
type linkedRecords struct {
	link  *keeper.Link
	again bool
}

func (l *linkedRecords) remember(record int, at place) {
	there := keeper.Place{File: keeper.File(at.file), Directory: keeper.File(at.dir)}
	_ = l.link.Tell(keeper.Message{Kind: keeper.KindRecord, Value: int32(record), Place: there}, -1)
}

func (l *linkedRecords) known(record int) (place, bool) {
	at := l.link.Facts.Records[record]
	return place{fileID(at.File), fileID(at.Directory)}, l.again
}
