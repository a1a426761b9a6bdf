package effects

import (
	"sync"

	"github.com/finite-init/finite/nsutil/cgroup"
)

// oomWatch counts what the kernel ends for want of memory, in the memory cgroup of this process and
// below, which others may share.
type oomWatch struct {
	kernel  Kernel
	mu      sync.Mutex
	counter OOMCounter // nil: nothing counts, or not yet
	seen    int
	closed  bool
	spare   int // descriptors that others need more
}

// OpenOOMCounter returns a counter, and how many kills there have been since the memory cgroup of
// this process was made. It returns nil where nothing counts.
func OpenOOMCounter() (*cgroup.OOMCounter, int) {
	own, err := cgroup.Find()
	if err != nil {
		return nil, 0
	}
	counter := cgroup.NewOOMCounter(own)
	if counter == nil {
		return nil, 0
	}
	n, err := counter.Count()
	if err != nil {
		counter.Close()
		return nil, 0
	}
	return counter, n
}

// begin reads the count that there is before.
func (w *oomWatch) begin() {
	if w.kernel.HaveDescriptors(w.spare) != nil {
		return // others need them more
	}
	counter, seen := w.kernel.OOM()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		if counter != nil {
			counter.Close()
		}
		return
	}
	w.counter, w.seen = counter, seen
}

// counts reports whether the count has begun.
func (w *oomWatch) counts() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counter != nil
}

// more returns how many there were since it was called last.
func (w *oomWatch) more() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counter == nil {
		return 0
	}
	now, err := w.counter.Count()
	if err != nil {
		return 0
	}
	more := now - w.seen
	w.seen = now
	return max(more, 0)
}

func (w *oomWatch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.counter != nil {
		w.counter.Close()
		w.counter = nil
	}
}
