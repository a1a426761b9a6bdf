package reap

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Handler is told what the loop sees. Its methods are called on the loop's thread, one at a time;
// the loop waits for them.
type Handler interface {
	// Exited is told of the registered child's end. The child is a zombie until Exited returns, and
	// is consumed then.
	Exited(Change)
	// Stopped is told that the registered child was stopped or continued.
	Stopped(Change)
	// Reaped is told of other children that ended and were consumed, one or more. The slice is used
	// again after it returns.
	Reaped([]Change)
	// Remaining is told once, after the registered child is gone, that other children live: none of
	// them has ended, or they end one after the other without end.
	Remaining()
	// Empty is told that there is no child at all (ECHILD). The loop then rests until [Loop.Again].
	Empty()
	// Failed is told of an error of waitid(2) that is not expected. The loop tries again after a
	// second, or on [Loop.Again].
	Failed(error)
}

// Kernel is what tests simulate: waitid(2), and the lock that [Loop.Lock] takes.
type Kernel interface {
	sync.Locker
	// Wait is waitid(2). found is false where WNOHANG was given and no child had changed.
	Wait(idType, id, options int) (c Change, found bool, err error)
}

// Loop waits for all children of this process. The zero value is ready to use; it must not be
// copied.
type Loop struct {
	// Peek, if not nil, is told of each child other than the registered one while that is a zombie
	// still. It is called with the pin held, so it must be quick.
	Peek func(Change)
	// Kernel is asked in the place of this machine's; nil: that is asked.
	Kernel Kernel

	pin    sync.Mutex
	closed atomic.Bool
	init   sync.Once
	again  chan struct{}
	waiter waiter // Run's
}

// Lock pins the PIDs of this process's children: until Unlock none is consumed, so a PID that was
// read from a list of children after Lock still names that child. It blocks no longer than one
// consumption takes.
func (l *Loop) Lock() {
	if l.Kernel != nil {
		l.Kernel.Lock()
		return
	}
	l.pin.Lock()
}

// Unlock ends what Lock began.
func (l *Loop) Unlock() {
	if l.Kernel != nil {
		l.Kernel.Unlock()
		return
	}
	l.pin.Unlock()
}

// Drained reports whether no child is waiting to be consumed. It may be called from any goroutine.
func (l *Loop) Drained() bool {
	var w waiter
	_, found, err := l.wait(&w, unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
	return err != nil || !found
}

func (l *Loop) wake() chan struct{} {
	l.init.Do(func() { l.again = make(chan struct{}, 1) })
	return l.again
}

func (l *Loop) wait(w *waiter, idType, id, options int) (Change, bool, error) {
	if l.Kernel != nil {
		return l.Kernel.Wait(idType, id, options)
	}
	return w.wait(idType, id, options)
}

// HasEnded is the function of that name.
func (l *Loop) HasEnded(pid int) bool {
	var w waiter
	_, found, err := l.wait(&w, unix.P_PID, pid, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
	return err == nil && found
}

// Again makes a loop that rests look once more. It never blocks.
func (l *Loop) Again() {
	select {
	case l.wake() <- struct{}{}:
	default:
	}
}

// Close ends the loop: at once when it rests, otherwise as soon as its wait returns, without
// consuming anything more.
func (l *Loop) Close() {
	l.closed.Store(true)
	l.Again()
}

// Run calls start, which starts the child and returns its PID, and then waits for children until
// Close, in a system call that keeps the thread for as long. If start returns 0, there is no
// registered child: what it has to say about that it says itself.
func (l *Loop) Run(start func() (pid int), h Handler) {
	const changes = unix.WEXITED | unix.WSTOPPED | unix.WCONTINUED
	w := &l.waiter
	var batch []Change
	child := start() // 0 as soon as it is gone
	toldRemaining := false
	batches := 0 // full ones, since the child is gone
	for !l.closed.Load() {
		options := changes | unix.WNOWAIT
		if child == 0 && !toldRemaining {
			options |= unix.WNOHANG // is anybody left? A blocking wait would not say
		}
		c, found, err := l.wait(w, unix.P_ALL, 0, options)
		switch {
		case l.closed.Load():
			return
		case errors.Is(err, unix.ECHILD):
			toldRemaining, batches = false, 0
			h.Empty()
			<-l.wake()
		case err != nil:
			h.Failed(err)
			select {
			case <-l.wake():
			case <-time.After(retryAfter):
			}
		case !found:
			toldRemaining = true
			h.Remaining()
		case !c.Ended():
			// Taken by its own kind: if the child has ended meanwhile, that is for the next look.
			// If it was stopped when looked at and has been continued since, it is the latter that
			// is taken and told.
			c, found = l.consume(w, c.PID, unix.WSTOPPED|unix.WCONTINUED)
			if found && c.PID == child {
				h.Stopped(c)
			}
		case c.PID == child:
			h.Exited(c)
			child, batches = 0, 0
			l.consume(w, c.PID, unix.WEXITED)
		default:
			if batch == nil {
				batch = make([]Change, 0, batchSize)
			}
			batch = l.reap(w, batch[:0], c, child)
			h.Reaped(batch)
			// Where orphans end faster than they can be reaped there never is a moment without one;
			// they come from somebody.
			if batches++; child == 0 && !toldRemaining && batches >= manyBatches {
				toldRemaining = true
				h.Remaining()
			}
		}
	}
}

// retryAfter is how long the loop rests after an error that is not expected.
const retryAfter = time.Second

// batchSize is how many orphans are reaped before the handler is told, and, where they end as fast
// as they can be reaped, how many are consumed while the pin is held: about a millisecond's worth,
// or ten with Peek.
const batchSize = 512

// manyBatches is after how many batches in a row others are taken to live, though none was seen
// that had not ended.
const manyBatches = 16

// reap consumes orphans that have ended, the first of which was looked at already, until there is
// none or the batch is full, and returns them. To hand the pin over for each would let zombies pile
// up while a tree is being killed, and a sweep over a list full of zombies is too slow to catch a
// process that forks and exits.
func (l *Loop) reap(w *waiter, batch []Change, c Change, child int) []Change {
	l.Lock()
	defer l.Unlock()
	for {
		batch = append(batch, c)
		if l.Peek != nil {
			l.Peek(c)
		}
		_, _, _ = l.wait(w, unix.P_PID, c.PID, unix.WEXITED|unix.WNOHANG)
		if len(batch) == cap(batch) {
			return batch
		}
		var found bool
		var err error
		c, found, err = l.wait(w, unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT)
		if err != nil || !found || c.PID == child {
			return batch
		}
	}
}

// consume takes one change that was looked at before. WNOHANG, because the child may have changed
// again since.
func (l *Loop) consume(w *waiter, pid, kind int) (Change, bool) {
	l.Lock()
	defer l.Unlock()
	c, found, err := l.wait(w, unix.P_PID, pid, kind|unix.WNOHANG)
	return c, found && err == nil
}
