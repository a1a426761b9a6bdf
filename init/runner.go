package pid1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

const eventQueue = 64 // events that may wait; a sender beyond that waits itself

// runner is the owner: it feeds the machine and carries out what the machine says. Only its own
// goroutine touches its fields, except for events and done.
type runner struct {
	cfg    *Config
	m      *machine
	kernel kernel
	source *signals.Source
	log    *logQueue

	events chan event
	done   chan struct{}
	answer []event // what the owner itself has to tell the machine, after the event under way

	ctx       context.Context // Run's
	unwatch   func() bool
	wall      *alarm // Config.Deadline
	clock     clock  // Config.Timeout; nil before it runs
	earlyWall *alarm
	notices   []func() // stop what awaits the rungs before the deadline
	trees     []byte   // the snapshots that were taken, as text
	timers    [timerCount]*time.Timer
	begun     time.Time // when run was called
	started   time.Time // when the command began to be
	ladder    []Rung
	recorder  *recorder // nil: nothing is written
	eventLog  *eventLog // the same
	states    []StateChange
	recorded  string // the last state
	finished  bool
	orphaned  bool // the keeper has died: what was written last stays, since how the run ends is not known here
	panics    int
	noProc    bool
	dir       string // the command's working directory; empty: Config.Dir, or this process's own
	starts    int    // of supervisors, this one included

	// What cfg, m, log and kernel point to, unless a test has made them, and what finish returns.
	// In one piece, because what is allocated by itself takes pages of its own for its size, and a
	// few microseconds of the start for them.
	machine machine
	queue   logQueue
	config  Config
	host    host
	last    Result
}

func (r *runner) init(role nsutil.Role, source *signals.Source) {
	r.machine.init(r.cfg, role)
	r.m = &r.machine
	r.queue.logger = r.cfg.Log
	r.log = &r.queue
	r.source = source
	r.events, r.done = make(chan event, eventQueue), make(chan struct{})
}

// post hands an event to the owner. It waits while the queue is full and gives up when the run is
// over.
func (r *runner) post(ev event) {
	select {
	case r.events <- ev:
	case <-r.done:
	}
}

// run is the whole of it, from before the start to after the end.
func (r *runner) run(ctx context.Context) Result {
	r.begun = time.Now()
	r.ctx = ctx
	r.unwatch = context.AfterFunc(ctx, func() { r.post(contextEvent(ctx)) })
	if !r.cfg.Deadline.IsZero() {
		r.wall = newAlarm(r.cfg.Deadline, func() { r.post(event{kind: evDeadline}) })
	}
	if err := r.cfg.noLeaf; err != nil {
		r.log.add(levelDebug, "no cgroup of its own for the command: "+err.Error(), nil)
	}
	r.before()
	r.loop()
	return r.finish()
}

// loop takes events and signals until the end.
func (r *runner) loop() {
	for !r.finished {
		select {
		case ev := <-r.events:
			r.take(ev)
		case sig := <-r.source.C:
			r.signal(sig)
		}
	}
}

// take takes one event. Where there is a keeper, signals are among them, in their order.
func (r *runner) take(ev event) {
	switch ev.kind {
	case evSignal:
		r.signal(ev.signal)
	case evKeeperGone:
		r.finished, r.orphaned = true, true
	default:
		r.step(ev)
	}
}

// signal tells the machine of one signal.
func (r *runner) signal(sig signals.Signal) {
	if sig.Number == unix.SIGCHLD { // only where there may be no child to wait for
		r.kernel.look()
		return
	}
	if r.told() || signals.IsStop(sig.Number) {
		sig.Sender.Comm = cmp.Or(sig.Sender.Comm, r.kernel.identify(sig.Sender.PID))
	}
	r.eventLog.signal(sig)
	r.step(event{kind: evSignal, signal: sig})
}

// before looks once whether the end was asked for already, and otherwise has the command started.
func (r *runner) before() {
	if sig := r.cfg.ParentDeath; sig != 0 {
		switch gone, err := r.kernel.watchParent(sig); {
		case err != nil:
			r.step(event{kind: evTrouble, err: err})
		case gone: // before that was set, so nothing was sent
			r.step(event{kind: evSignal, signal: signals.Signal{Number: sig, Sender: signals.Sender{Known: true, Kernel: true}}})
		}
	}
	for !r.finished {
		select {
		case sig := <-r.source.C:
			r.signal(sig)
			continue
		case ev := <-r.events:
			r.take(ev)
			continue
		default:
		}
		if r.ctx.Err() != nil {
			r.step(contextEvent(r.ctx))
			continue
		}
		if !r.cfg.Deadline.IsZero() && !time.Now().Before(r.cfg.Deadline) {
			r.step(event{kind: evDeadline})
			continue
		}
		if r.cfg.Pause {
			r.source.CatchChildren()
			r.step(event{kind: evPaused})
		} else {
			r.step(event{kind: evCloning})
		}
		r.started = time.Now()
		r.eventLog.startAt(r.started)
		if r.cfg.Timeout > 0 {
			r.clock = r.kernel.alarm(r.cfg.Timeout, func() { r.post(event{kind: evDeadline}) })
		}
		r.awaitEarly()
		if r.cfg.Timeout > 0 || !r.cfg.Deadline.IsZero() {
			r.announceLatest()
		}
		r.kernel.start()
		return
	}
}

// contextEvent is the event of a context that is done.
func contextEvent(ctx context.Context) event {
	switch cause := context.Cause(ctx); {
	case ctx.Err() == context.DeadlineExceeded:
		return event{kind: evDeadline}
	case cause == context.Canceled:
		return event{kind: evCancel}
	default:
		return event{kind: evCancel, err: cause}
	}
}

// step tells the machine one event, and then what came of it, and does what it says. Nothing that
// goes wrong in here may end the process: a panic is logged and counted, and the next event is
// handled.
func (r *runner) step(ev event) {
	defer func() {
		if v := recover(); v != nil {
			r.panics++
			r.log.add(levelError, fmt.Sprintf("internal error while handling %v: %v", ev.kind, v), fields{"stack": string(debug.Stack())})
			r.finished = r.finished || r.m.state == stateEnded
		}
		if ev.handled != nil {
			ev.handled <- struct{}{}
		}
	}()
	switch ev.kind {
	case evStarted:
		r.kernel.adopt(ev.pid, ev.pidfd, ev.inLeaf)
		if ev.err != nil {
			r.log.add(levelDebug, "no cgroup of its own for the command: "+ev.err.Error(), nil)
		}
	case evTrouble, evSurvivors:
		r.noProc = r.noProc || errors.Is(ev.err, procfs.ErrNoProc)
	case evTimer:
		r.kernel.noteFact(ev)
	case evDeadline, evCancel, evLifeline:
		r.kernel.noteFact(ev)
		// What was observed first counts, and the command's end can be observed before the reaper's
		// word of it is here.
		ev.gone = r.m.alive && r.kernel.gone()
		r.eventLog.add(runEvent{Event: ev.kind.String()})
	case evDumped:
		r.dumped(ev)
	case evNotice:
		defer r.awaitEarlyByWall()
	}
	r.perform(r.m.handle(ev))
	if ev.kind == evExited || ev.kind == evReaped && ev.killed > 0 {
		if n := r.kernel.oomKills(); n > 0 {
			r.eventLog.add(runEvent{Event: evOOM.String(), Count: n})
			r.answer = append(r.answer, event{kind: evOOM, count: n, gone: ev.kind == evExited})
		}
	}
	for len(r.answer) > 0 {
		next := r.answer[0]
		r.answer = r.answer[1:]
		r.perform(r.m.handle(next))
	}
	r.follow()
	if ev.kind == evStarted && r.m.alive {
		// What has waited until now was sent by the machine; from here on most signals need not
		// wait for it.
		r.passOn(ev.pidfd)
	}
}

// passOn has signals passed on that need not wait for the machine.
func (r *runner) passOn(pidfd int) {
	var rules passRules
	rules.set = r.m.passable()
	rules.rewritten = r.m.rewritable()
	rules.told = r.told() || r.recorder != nil // which counts them
	r.kernel.passOn(pidfd, rules)
}

// announceLatest says when what is under way should be over.
func (r *runner) announceLatest() {
	m, cfg := r.m, r.cfg
	left := time.Duration(-1)
	switch {
	case m.state == stateStarting || m.state == stateRunning:
		if cfg.Timeout > 0 {
			left = cfg.Timeout + cfg.ladders.ending.killAfter()
		}
		if !cfg.Deadline.IsZero() {
			byWall := max(time.Until(cfg.Deadline), 0) + cfg.ladders.ending.killAfter()
			if left < 0 || byWall < left {
				left = byWall
			}
		}
	case m.climbing():
		left = m.ladder.killAfter()
	case m.armed[timerDeadline]:
		left = cfg.ladders.ending.killAfter()
	case m.state == stateKilling || m.state == stateSurvey:
		left = 0
	default:
		return // what was announced before holds
	}
	status := 128 + int(unix.SIGKILL)
	if m.state < stateStopping || m.cause.Kind == KindDeadline {
		status = exitStatus(cfg, Cause{Kind: KindDeadline, Known: true, Signal: unix.SIGKILL}, true)
	}
	if left >= 0 && cfg.GiveUp != Off {
		left += cfg.GiveUp + surveyLimit + latestMargin
		if cfg.dumps() {
			left += 2 * dumpLimit
		}
	} else {
		left = -1
	}
	r.kernel.latest(left, status, m.cause.Kind == KindDeadline || m.late)
}

// latestMargin is what an ending may take beyond its own times.
const latestMargin = 2 * time.Second

func (r *runner) perform(actions []action) {
	for i := range actions {
		a := &actions[i]
		switch a.kind {
		case actForward:
			r.forward(a)
		case actSend:
			r.sent(signals.Name(a.sig), a.target.String(), r.kernel.signal(a.target, signals.Signal{Number: a.sig}))
		case actTerminate:
			r.kernel.terminate(a.sig)
			r.sent("leftovers", "all", nil)
		case actThaw:
			r.kernel.thaw()
		case actKillTree:
			r.kernel.killTree()
			r.sent("tree", "all", nil)
		case actArm:
			r.arm(a.timer, a.length)
		case actDisarm:
			r.timers[a.timer].Stop()
		case actProbe:
			r.answer = append(r.answer, event{kind: evNamespace, empty: r.kernel.empty()})
		case actLook:
			r.kernel.look()
		case actSuspend:
			r.kernel.suspend()
		case actForeground:
			r.kernel.foreground()
		case actDump:
			r.kernel.dump()
		case actSurvey:
			r.kernel.survey()
		case actTransition:
			r.states = append(r.states, StateChange{a.to.String(), r.elapsed()})
			r.announceLatest()
			r.eventLog.add(runEvent{Event: "state", From: a.from.String(), To: a.to.String(), Why: a.why})
			if r.log.enabled(levelDebug) {
				r.log.add(levelDebug, "state", fields{"from": a.from.String(), "to": a.to.String(), "why": a.why})
			}
		case actNote:
			r.log.add(a.level, a.why, nil)
		case actEnd:
			r.finished = true
		}
	}
}

func (r *runner) forward(a *action) {
	var err error
	if !a.signal.Passed {
		err = r.kernel.signal(a.target, a.signal)
	}
	name := signals.Name(a.signal.Number)
	switch {
	case errors.Is(err, unix.ESRCH): // the command is gone, and the word of it on its way
		r.m.forwardFailed()
		return
	case err != nil:
		r.m.forwardFailed()
		r.eventLog.add(runEvent{Event: "forwarded", Signal: name, Target: a.target.String(), Result: err.Error()})
		r.log.add(levelWarn, "cannot pass "+name+" on: "+err.Error(), nil)
		return
	}
	r.eventLog.add(runEvent{Event: "forwarded", Signal: name, Target: a.target.String(), Result: "sent"})
	if r.log.enabled(levelInfo) {
		r.log.add(levelInfo, "passed "+name+" on to "+a.target.String()+describeSender(a.signal.Sender), nil)
	}
}

func (r *runner) sent(step, target string, err error) {
	result := "sent"
	if err != nil {
		result = err.Error()
	}
	r.rung(step, target, result)
}

func (r *runner) rung(step, target, result string) {
	r.eventLog.add(runEvent{Event: "rung", Step: step, Target: target, Result: result})
	r.ladder = append(r.ladder, Rung{Step: step, Target: target, Result: result, At: r.elapsed()})
	if r.log.enabled(levelInfo) {
		r.log.add(levelInfo, step+" to "+target+": "+result, nil)
	}
}

// told reports whether every signal is told of.
func (r *runner) told() bool { return r.eventLog != nil || r.log.enabled(levelInfo) }

func (r *runner) elapsed() time.Duration {
	if r.started.IsZero() {
		return 0
	}
	return time.Since(r.started)
}

func (r *runner) arm(id timerID, d time.Duration) {
	r.timers[id] = time.AfterFunc(d, func() { r.post(event{kind: evTimer, timer: id}) })
}
