package effects

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/machine"
	"github.com/finite-init/finite/reap"
)

// reapWatcher turns what the reaper sees into events.
type reapWatcher struct {
	post     func(machine.Event)
	done     <-chan struct{} // closed when the run is over
	byNumber *atomic.Bool
	observer Observer
}

// Exited returns when the owner has handled the event, if the owner signals the command by its PID:
// from then on it does not, and after this the PID is free. A pidfd needs no such care.
func (w *reapWatcher) Exited(c reap.Change) {
	w.observer.Zombie("exited", &c)
	if !w.byNumber.Load() {
		w.post(machine.Event{Kind: machine.EvExited, Change: c})
		return
	}
	handled := make(chan struct{}, 1)
	w.post(machine.Event{Kind: machine.EvExited, Change: c, Handled: handled})
	select {
	case <-handled:
	case <-w.done:
	}
}

// Reaped makes one event of a batch: of orphans, only how many there were matters.
func (w *reapWatcher) Reaped(all []reap.Change) {
	ev := machine.Event{Kind: machine.EvReaped, Count: len(all)}
	for i := range all {
		if all[i].Signal() == unix.SIGKILL {
			ev.Killed++
		}
	}
	w.post(ev)
}

func (w *reapWatcher) Stopped(c reap.Change) {
	w.observer.Stopped(&c)
	w.post(machine.Event{Kind: machine.EvStopped, Change: c})
}

func (w *reapWatcher) Remaining() { w.post(machine.Event{Kind: machine.EvRemaining}) }
func (w *reapWatcher) Empty()     { w.post(machine.Event{Kind: machine.EvEmpty}) }
func (w *reapWatcher) Failed(err error) {
	w.post(machine.Event{Kind: machine.EvTrouble, Err: err})
}
