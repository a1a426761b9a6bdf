package procfs

import (
	"sync/atomic"
	"time"
)

// Limited reads a procfs in another goroutine, and leaves that goroutine to itself if a read does
// not come back: what hangs keeps nothing else from being read. One goroutine uses a Limited.
type Limited struct {
	// Lost counts the reads that did not come back. Its user may set it to 0. Each such read keeps
	// a thread and a descriptor for as long as it hangs.
	Lost int
	// Over, if not nil, is called when the reader is closed and no read is on its way any more.
	Over func()

	newProc func() *Proc
	each    time.Duration
	until   time.Time
	most    int
	timer   *time.Timer
	work    chan func(*Proc)
	users   atomic.Int32 // its user until Close, and the reads that are on their way
}

// NewLimited returns a reader that waits no longer than each for a read, and no longer than total
// for all reads together. When Lost has come to most, no more reads are tried.
func NewLimited(newProc func() *Proc, each, total time.Duration, most int) *Limited {
	r := &Limited{newProc: newProc, each: each, until: time.Now().Add(total), most: most}
	r.timer = time.NewTimer(0)
	r.users.Store(1)
	return r
}

// Within returns what f returns. It returns false if f takes too long, if no more reads are tried,
// or if f panics: what f reads was written by others. f must keep nothing.
func Within[T any](r *Limited, f func(*Proc) T) (value T, ok bool) {
	limit := min(r.each, time.Until(r.until))
	if limit <= 0 || r.Lost >= r.most {
		return value, false
	}
	if r.work == nil {
		r.work = make(chan func(*Proc))
		go serve(r.work, r.newProc())
	}
	answer := make(chan T, 1)
	r.users.Add(1)
	r.work <- func(p *Proc) {
		value, ok := attempt(f, p)
		r.leave()
		if ok {
			answer <- value
		}
		close(answer)
	}
	r.timer.Reset(limit)
	select {
	case value, ok = <-answer:
	case <-r.timer.C:
		r.letGo()
		r.Lost++
	}
	return value, ok
}

func serve(work <-chan func(*Proc), p *Proc) {
	for f := range work {
		f(p)
	}
}

func attempt[T any](f func(*Proc) T, p *Proc) (value T, ok bool) {
	defer func() { ok = recover() == nil }()
	return f(p), true
}

// leave ends the use by one user.
func (r *Limited) leave() {
	if r.users.Add(-1) == 0 && r.Over != nil {
		r.Over()
	}
}

// letGo lets the goroutine end when it has come back.
func (r *Limited) letGo() {
	if r.work != nil {
		close(r.work)
		r.work = nil
	}
}

// Close ends the goroutine, now or when it has come back. The reader is not used after it.
func (r *Limited) Close() {
	r.letGo()
	r.leave()
}

// Late reports whether there is no time left.
func (r *Limited) Late() bool { return !time.Now().Before(r.until) }
