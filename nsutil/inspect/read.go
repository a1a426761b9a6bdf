package inspect

import (
	"time"

	"github.com/finite-init/finite/internal/procfs"
)

const (
	readLimit    = 500 * time.Millisecond // for what is read of one process at a time, which takes microseconds
	inspectLimit = 5 * time.Second        // for everything
	maxLost      = 3                      // reads that may hang, of what never does and then of what may, since each keeps a thread
)

// limitedReader reads in another goroutine, and leaves that to itself if it does not come back:
// what hangs keeps nothing else from being read. One goroutine uses it.
type limitedReader struct {
	newProc func() *procfs.Proc
	limit   time.Duration // for each read
	until   time.Time     // for all
	timer   *time.Timer
	work    chan func(*procfs.Proc)
	lost    int // goroutines that did not come back since lost was last set to 0
}

func newLimitedReader(newProc func() *procfs.Proc, limit, total time.Duration) *limitedReader {
	return &limitedReader{newProc: newProc, limit: limit, until: time.Now().Add(total), timer: time.NewTimer(0)}
}

// readWithin returns what f returns, or false if that takes too long, or longer than all may take,
// or if too many reads hang. f must keep nothing.
func readWithin[T any](r *limitedReader, f func(*procfs.Proc) T) (value T, ok bool) {
	limit := min(r.limit, time.Until(r.until))
	if limit <= 0 || r.lost >= maxLost {
		return value, false
	}
	if r.work == nil {
		r.work = make(chan func(*procfs.Proc))
		go serve(r.work, r.newProc())
	}
	answer := make(chan T, 1)
	r.work <- func(p *procfs.Proc) {
		defer close(answer)
		defer func() { _ = recover() }() // what is read was written by others
		answer <- f(p)
	}
	r.timer.Reset(limit)
	select {
	case value, ok = <-answer:
	case <-r.timer.C:
		r.close()
		r.lost++
	}
	return value, ok
}

func serve(work <-chan func(*procfs.Proc), p *procfs.Proc) {
	for f := range work {
		f(p)
	}
}

// close lets the goroutine end.
func (r *limitedReader) close() {
	if r.work != nil {
		close(r.work)
		r.work = nil
	}
}

// late reports whether there is no time left.
func (r *limitedReader) late() bool { return !time.Now().Before(r.until) }
