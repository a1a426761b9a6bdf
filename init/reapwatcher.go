package pid1

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/reap"
)

// reapWatcher turns what the reaper sees into events.
type reapWatcher struct {
	post     func(event)
	done     <-chan struct{} // closed when the run is over
	byNumber *atomic.Bool
	events   *eventLog
}

// Exited returns when the owner has handled the event, if the owner signals the command by its PID:
// from then on it does not, and after this the PID is free. A pidfd needs no such care.
func (w *reapWatcher) Exited(c reap.Change) {
	w.events.reaped("exited", &c)
	if !w.byNumber.Load() {
		w.post(event{kind: evExited, change: c})
		return
	}
	handled := make(chan struct{}, 1)
	w.post(event{kind: evExited, change: c, handled: handled})
	select {
	case <-handled:
	case <-w.done:
	}
}

// Reaped makes one event of a batch: of orphans, only how many there were matters.
func (w *reapWatcher) Reaped(all []reap.Change) {
	ev := event{kind: evReaped, count: len(all)}
	for i := range all {
		if all[i].Signal() == unix.SIGKILL {
			ev.killed++
		}
	}
	w.post(ev)
}

func (w *reapWatcher) Stopped(c reap.Change) {
	w.events.stopped(&c)
	w.post(event{kind: evStopped, change: c})
}

func (w *reapWatcher) Remaining()       { w.post(event{kind: evRemaining}) }
func (w *reapWatcher) Empty()           { w.post(event{kind: evEmpty}) }
func (w *reapWatcher) Failed(err error) { w.post(event{kind: evTrouble, err: err}) }
