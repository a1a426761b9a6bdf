package pid1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/signals"
)

const eventQueue = 64 // events that may wait; a sender beyond that waits itself

// runner is the owner: it feeds the machine and carries out what the machine says. Only its own
// goroutine touches its fields, except for events and done, and for what out allows.
type runner struct {
	cfg     *Config
	policy  ending.Policy
	m       *machine.Machine
	effects world
	alarm   func(d time.Duration, fire func()) clock
	source  *signals.Source
	out     record.Writer

	events chan machine.Event
	done   chan struct{}
	answer []machine.Event // what the owner itself has to tell the machine, after the event under way

	ctx       context.Context // Run's
	clocks    clocks
	epoch     time.Time // that the machine's times are told from
	begun     time.Time // when run was called
	started   time.Time // when the command began to be
	ladder    []ending.Rung
	states    []ending.StateChange
	unheard   ending.Counts // of what came after the end, and the machine was not told of
	announced ending.State  // when it was last said when the run should be over
	killAt    time.Duration // and by then
	finished  bool
	orphaned  bool // the keeper has died: how the run ends is not known here
	panics    int
	noProc    bool
	dir       string // the command's working directory; empty: Config.Dir, or this process's own
	starts    int    // of supervisors, this one included

	// What cfg, m and effects point to, unless a test has made them, and what finish returns. In
	// one piece, because what is allocated by itself takes pages of its own for its size, and a few
	// microseconds of the start for them.
	machine machine.Machine
	config  Config
	direct  effects.Direct
	last    ending.Result
}

func newRunner(cfg Config) *runner {
	r := &runner{
		config: cfg,
		epoch:  time.Now(),
		events: make(chan machine.Event, eventQueue),
		done:   make(chan struct{}),
		alarm:  timeout,
	}
	r.cfg = &r.config
	return r
}

// decide makes the machine.
func (r *runner) decide(s machine.Setup) {
	s.Policy = &r.policy
	if len(r.cfg.Args) > 0 {
		s.Command = r.cfg.Args[0]
	}
	r.machine.Init(s)
	r.m = &r.machine
}

// post hands an event to the owner. It waits while the queue is full and gives up when the run is
// over.
func (r *runner) post(ev machine.Event) {
	select {
	case r.events <- ev:
	case <-r.done:
	}
}

// run is the whole of it, from before the start to after the end.
func (r *runner) run(ctx context.Context) ending.Result {
	r.begun = time.Now()
	r.awaitContext(ctx)
	r.awaitWall()
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
func (r *runner) take(ev machine.Event) {
	switch ev.Kind {
	case machine.EvSignal:
		r.signal(ev.Signal)
	case machine.EvKeeperGone:
		r.finished, r.orphaned = true, true
	default:
		r.step(ev)
	}
}

// signal tells the machine of one signal.
func (r *runner) signal(sig signals.Signal) {
	if sig.Number == unix.SIGCHLD { // only where there may be no child to wait for
		_ = r.effects.Do(&machine.Action{Kind: machine.ActLook})
		return
	}
	if r.told() || signals.IsStop(sig.Number) {
		sig.Sender.Comm = cmp.Or(sig.Sender.Comm, r.effects.Identify(sig.Sender.PID))
	}
	r.out.Signal(sig)
	r.step(machine.Event{Kind: machine.EvSignal, Signal: sig})
}

// before looks once whether the end was asked for already, and otherwise has the command started.
func (r *runner) before() {
	if sig := r.cfg.ParentDeath; sig != 0 {
		switch gone, err := r.effects.WatchParent(sig); {
		case err != nil:
			r.step(machine.Event{Kind: machine.EvTrouble, Err: err})
		case gone: // before that was set, so nothing was sent
			r.step(machine.ParentEnded(sig))
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
			r.step(machine.Event{Kind: machine.EvDeadline})
			continue
		}
		if r.cfg.Pause {
			r.source.CatchChildren()
			r.step(machine.Event{Kind: machine.EvPaused})
		} else {
			r.step(machine.Event{Kind: machine.EvCloning})
		}
		r.started = time.Now()
		r.out.StartAt(r.started)
		if r.cfg.Timeout > 0 {
			r.awaitTimeout(r.cfg.Timeout)
		}
		r.awaitEarly()
		if r.cfg.Timeout > 0 || !r.cfg.Deadline.IsZero() {
			r.announceLatest()
		}
		r.effects.Start()
		return
	}
}

// contextEvent is the event of a context that is done.
func contextEvent(ctx context.Context) machine.Event {
	switch cause := context.Cause(ctx); {
	case ctx.Err() == context.DeadlineExceeded:
		return machine.Event{Kind: machine.EvDeadline}
	case cause == context.Canceled:
		return machine.Event{Kind: machine.EvCancel}
	default:
		return machine.Event{Kind: machine.EvCancel, Err: cause}
	}
}

// step tells the machine one event, and then what came of it, and does what it says. Nothing that
// goes wrong in here may end the process: a panic is logged and counted, and the next event is
// handled.
func (r *runner) step(ev machine.Event) {
	defer func() {
		if v := recover(); v != nil {
			r.panics++
			r.out.Log(
				ending.LevelError,
				fmt.Sprintf("internal error while handling %v: %v", ev.Kind, v),
				record.Fields{"stack": string(debug.Stack())},
			)
			r.finished = r.finished || r.m.Outcome().State == ending.StateEnded
		}
		if ev.Handled != nil {
			ev.Handled <- struct{}{}
		}
	}()
	switch ev.Kind {
	case machine.EvStarted:
		if ev.Err != nil {
			r.tellNoCgroup(ev.Err)
		}
	case machine.EvTrouble, machine.EvSurvivors:
		r.noProc = r.noProc || errors.Is(ev.Err, procfs.ErrNoProc)
	case machine.EvDeadline, machine.EvCancel, machine.EvLifeline:
		// What was observed first counts, and the command's end can be observed before the reaper's
		// word of it is here.
		ev.Gone = r.m.Outcome().Running && r.effects.Gone()
		r.out.Event(record.Event{Event: ev.Kind.String()})
	case machine.EvDumped:
		r.dumped(ev)
	case machine.EvNotice:
		defer r.awaitEarlyByWall()
	}
	r.effects.Note(&ev)
	r.handle(ev)
	if ev.Kind == machine.EvExited || ev.Kind == machine.EvReaped && ev.Killed > 0 {
		killed := ev.Kind == machine.EvExited && ev.Change.Signal() == unix.SIGKILL
		if n, ever := r.effects.OOMKills(killed); n > 0 {
			r.out.Event(record.Event{Event: machine.EvOOM.String(), Count: n})
			r.answer = append(
				r.answer,
				machine.Event{Kind: machine.EvOOM, Count: n, Gone: ev.Kind == machine.EvExited, Ever: ever},
			)
		}
	}
	for len(r.answer) > 0 {
		next := r.answer[0]
		r.answer = r.answer[1:]
		r.handle(next)
	}
	r.follow()
	if ev.Kind == machine.EvStarted && r.m.Outcome().Running {
		// What has waited until now was sent by the machine; from here on most signals need not
		// wait for it.
		r.passOn(ev.Pidfd)
	}
}

func (r *runner) tellNoCgroup(err error) {
	r.out.Log(ending.LevelDebug, "no cgroup of its own for the command: "+err.Error(), nil)
}

// handle tells the machine an event, and does what it says.
func (r *runner) handle(ev machine.Event) {
	ev.At = time.Since(r.epoch)
	actions := r.m.Handle(ev)
	state := r.m.Outcome().State
	at, known := r.m.KillAt()
	if state != r.announced || known && at != r.killAt {
		r.announced, r.killAt = state, at
		r.announceLatest()
	}
	r.perform(actions)
}

// passOn has signals passed on that need not wait for the machine.
func (r *runner) passOn(pidfd int) {
	rules := r.m.Rules()
	rules.Told = r.told() || r.out.Reports() // which counts them
	r.effects.PassOn(pidfd, rules)
}

// told reports whether every signal is told of.
func (r *runner) told() bool { return r.out.TellsChildren() || r.out.Logs(ending.LevelInfo) }
