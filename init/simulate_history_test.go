package pid1

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/init/internal/simkernel"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/signals"
)

// history is one run in a simulated world, and what was seen of it.
type history struct {
	*scenario
	kernel  *simkernel.Kernel
	runner  *runner
	result  ending.Result
	took    time.Duration
	returns bool
	left    []simkernel.Left
	fate    simkernel.Fate
	faults  []string // what is wrong
	mu      sync.Mutex
	lines   []string // the trace
	begin   time.Time
}

// stuckTime is how much longer than any history one may take before it counts as one that does not
// return.
const stuckTime = time.Hour

// afterTime is how long after its end a run may have goroutines that are on their way out.
const afterTime = 10 * time.Second

// playHistory plays the history of a seed.
func playHistory(t *testing.T, seed uint64, traced bool) (h *history) {
	return playScenario(t, drawScenario(seed), traced)
}

// playScenario plays the history that a scenario begins.
func playScenario(t *testing.T, s *scenario, traced bool) (h *history) {
	h = &history{scenario: s}
	defer func() { // of the bubble, where goroutines are left that wait for ever
		if v := recover(); v != nil {
			h.wrong("%v", v)
		}
	}()
	synctest.Test(t, func(*testing.T) {
		h.begin = time.Now()
		if traced {
			h.world.Trace = h.trace
			h.trace(h.String())
		}
		h.play()
		time.Sleep(afterTime)
		synctest.Wait()
		if n := h.kernel.OpenFiles(); n != 0 {
			h.wrong("%d files are left open", n)
		}
	})
	return h
}

func (h *history) trace(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, fmt.Sprintf("%14v  %s", time.Since(h.begin), line))
}

func (h *history) wrong(format string, args ...any) {
	h.faults = append(h.faults, fmt.Sprintf(format, args...))
}

// play runs the runner in the world, and judges what it does.
func (h *history) play() {
	h.kernel = simkernel.New(h.world)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if h.deadline > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadline(ctx, h.begin.Add(h.deadline))
		defer stop()
	}
	if h.cancel > 0 {
		defer time.AfterFunc(h.cancel, cancel).Stop()
	}
	r, err := h.prepare()
	if err != nil {
		h.wrong("the configuration is refused: %v", err)
		return
	}
	for _, a := range h.arrivals {
		// By the queue, as from a keeper: which of two channels the runner takes from first is
		// another one each time.
		ev := machine.Event{Kind: machine.EvSignal, Signal: a.signal}
		defer time.AfterFunc(a.at, func() { h.post(ev) }).Stop()
	}
	if h.lifeline > 0 {
		defer time.AfterFunc(h.lifeline, r.hungUp).Stop()
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		h.result = r.run(ctx)
	}()
	select {
	case <-over:
		h.returns = true
	case <-time.After(h.latest() + stuckTime):
		h.wrong("the run does not return")
	}
	h.took = time.Since(h.begin)
	h.left, h.fate = h.kernel.Left(), h.kernel.Fate()
	h.check()
	h.kernel.Shut()
}

// prepare makes the runner.
func (h *history) prepare() (*runner, error) {
	h.cfg.Log = h.logger()
	r := newRunner(h.cfg)
	h.runner = r
	var err error
	if r.policy, err = h.cfg.policy(h.world.Role, h.deadline > 0); err != nil {
		return r, err
	}
	if err := r.out.Open(record.Targets{}, h.cfg.Log); err != nil {
		return r, err
	}
	r.source = &signals.Source{}
	r.alarm = func(d time.Duration, fire func()) clock { return fakeClock{time.AfterFunc(d, fire)} }
	to := record.Targets{}
	o := r.options(h.world.Role, &spawn.Command{Args: h.cfg.Args}, nil, &to)
	o.Kernel, o.Leaf, o.Post = h.kernel, h.kernel.CommandLeaf(), h.post
	r.direct.Init(o)
	r.effects = &r.direct
	r.decide(machine.Setup{Role: h.world.Role, HasCgroup: o.HasCgroup()})
	return r, nil
}

// post sees what effects tell the runner.
func (h *history) post(ev machine.Event) {
	if ev.Kind == machine.EvTrouble && strings.Contains(ev.Err.Error(), "internal error") {
		h.wrong("%v", ev.Err)
	}
	if h.world.Trace != nil {
		h.trace(describe(&ev))
	}
	h.runner.post(ev)
}

// describe says what there is of an event.
func describe(ev *machine.Event) string {
	text := "event " + ev.Kind.String()
	if ev.Kind == machine.EvStarted {
		text += fmt.Sprintf(" pid %d pidfd %d cgroup %v", ev.Pid, ev.Pidfd, ev.InCgroup)
	}
	if ev.Change.PID != 0 {
		text += ": " + ev.Change.String()
	}
	if ev.Count != 0 {
		text += fmt.Sprintf(" of %d, by SIGKILL %d", ev.Count, ev.Killed)
	}
	for _, s := range ev.Survivors {
		text += fmt.Sprintf(" pid %d (%s): %s;", s.PID, s.Comm, s.Why)
	}
	if ev.Err != nil {
		text += ": " + ev.Err.Error()
	}
	return text
}

// logger traces the log, if there is a trace.
func (h *history) logger() *logrus.Logger {
	if h.world.Trace == nil {
		return nil
	}
	l := logrus.New()
	l.Out, l.Level = io.Discard, logrus.DebugLevel
	l.AddHook(traceHook{h})
	return l
}

type traceHook struct{ h *history }

func (traceHook) Levels() []logrus.Level { return logrus.AllLevels }

func (t traceHook) Fire(e *logrus.Entry) error {
	delete(e.Data, record.TreeField)
	t.h.trace(fmt.Sprintf("log %v: %s %v", e.Level, e.Message, e.Data))
	return nil
}
