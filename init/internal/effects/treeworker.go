package effects

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/nsutil/tree"
)

// treeWorker signals trees away from the owner, because a walk over thousands of processes takes
// tens of milliseconds. Jobs are done in the order in which they were given, by a goroutine that
// the first one starts; the kill goes on until the survey or the end. Its methods are the owner's.
type treeWorker struct {
	kernel   tree.Kernel
	role     nsutil.Role
	pin      tree.Pinner
	leaf     Leaf // nil: none
	post     func(machine.Event)
	helpless func()                // called when the kill has failed; nil: there is no other way
	jobs     chan func(*tree.Tree) // nil until there is a job
	idle     chan struct{}         // closed when the goroutine has ended
	stopKill chan struct{}
	stopOnce sync.Once
}

const treeJobs = 64 // jobs that may wait; more are refused

var errTreeBusy = errors.New("too many signals to the whole tree are waiting")

func (w *treeWorker) start() {
	w.jobs, w.idle = make(chan func(*tree.Tree), treeJobs), make(chan struct{})
	go func() {
		defer close(w.idle)
		tree := tree.NewOf(w.kernel, w.role, w.pin, w.leaf)
		for job := range w.jobs {
			w.run(job, tree)
		}
	}()
}

// run does one job. It reads what others write to /proc, so a mistake in that must not end the
// process.
func (w *treeWorker) run(job func(*tree.Tree), tree *tree.Tree) {
	defer func() {
		if v := recover(); v != nil {
			w.failed(fmt.Errorf("internal error: %v", v))
		}
	}()
	job(tree)
}

func (w *treeWorker) failed(err error) {
	w.post(machine.Event{Kind: machine.EvTrouble, Err: fmt.Errorf("cannot signal the whole tree: %w", err)})
}

func (w *treeWorker) do(job func(*tree.Tree)) error {
	if w.jobs == nil {
		w.start()
	}
	select {
	case w.jobs <- job:
		return nil
	default:
		return errTreeBusy
	}
}

func (w *treeWorker) signal(sigs ...unix.Signal) error {
	return w.do(func(t *tree.Tree) {
		if err := t.Signal(sigs...); err != nil {
			w.failed(err)
		}
	})
}

func (w *treeWorker) thaw() { _ = w.do(func(*tree.Tree) { w.leaf.Thaw() }) }

func (w *treeWorker) kill() {
	job := func(t *tree.Tree) {
		t.Kill(w.stopKill, func(err error) {
			w.failed(err)
			if w.helpless != nil {
				w.helpless()
			}
		})
	}
	for w.do(job) != nil {
		// The queue is full of signals that are waiting to be sent. The kill is never refused: it
		// takes the place of one of them.
		select {
		case <-w.jobs:
		default:
		}
	}
}

func (w *treeWorker) survey() {
	w.stop()
	over := make(chan struct{}) // closed when the last round of the kill is over
	if w.jobs == nil || w.do(func(*tree.Tree) { close(over) }) != nil {
		close(over)
	}
	go func() { // not by the worker, which may be held by one of them
		select {
		case <-over:
		case <-time.After(machine.SurveyLimit / 4):
		}
		survivors, err := inspect.FindSurvivorsOf(w.kernel, w.role, w.leaf, machine.SurveyLimit/2)
		w.post(machine.Event{Kind: machine.EvSurvivors, Survivors: survivors, Err: err})
	}()
}

func (w *treeWorker) stop() { w.stopOnce.Do(func() { close(w.stopKill) }) }

// close ends the kill and the worker, and waits for that: after it, no process is signalled: that
// could be the next run's command. The wait is bounded by SurveyLimit, against a /proc that does
// not answer: then it returns false, and the worker may still use the cgroup.
func (w *treeWorker) close() (idle bool) {
	if w.jobs == nil {
		return true
	}
	w.stop()
	close(w.jobs)
	select {
	case <-w.idle:
		return true
	case <-time.After(machine.SurveyLimit):
		return false
	}
}
