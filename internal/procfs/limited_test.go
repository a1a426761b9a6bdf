package procfs

import (
	"testing"
	"time"
)

// A read that hangs is given up, the next ones come all the same, and the reader is over when the
// last one has come back.
func TestLimited(t *testing.T) {
	const short, long = 20 * time.Millisecond, time.Minute
	number := func(n int) func(*Proc) int { return func(*Proc) int { return n } }
	free := make(chan struct{})
	hang := func(*Proc) int { <-free; return 1 }
	over := make(chan struct{})
	r := NewLimited(NewProc, long, long, 2)
	r.Over = func() { close(over) }
	if n, ok := Within(r, number(7)); n != 7 || !ok {
		t.Errorf("got %d, %v", n, ok)
	}
	if _, ok := Within(r, func(p *Proc) int { return int(p.buf[len(p.buf)]) }); ok || r.Lost != 0 {
		t.Errorf("a panic: %v, %d lost", ok, r.Lost)
	}
	r.each = short
	for i := range 2 {
		if _, ok := Within(r, hang); ok || r.Lost != i+1 {
			t.Errorf("a read that hangs: %v, %d lost", ok, r.Lost)
		}
		r.each = long
		if n, ok := Within(r, number(8)); ok != (i == 0) || ok && n != 8 {
			t.Errorf("after %d that hang: %d, %v", i+1, n, ok)
		}
		r.each = short
	}
	r.Lost = 0
	if _, ok := Within(r, number(9)); !ok {
		t.Error("nothing is read after a new beginning")
	}
	r.Close()
	select {
	case <-over:
		t.Error("it is over, and two reads hang")
	default:
	}
	close(free)
	<-over
}

// Nothing is read when the time for all is over; and a reader whose reads have come back is over as
// soon as it is closed.
func TestLimitedInAll(t *testing.T) {
	over := false
	r := NewLimited(NewProc, time.Minute, time.Minute, 1)
	r.Over = func() { over = true }
	if _, ok := Within(r, func(*Proc) bool { return true }); !ok || r.Late() {
		t.Errorf("got %v, late: %v", ok, r.Late())
	}
	r.until = time.Now()
	if _, ok := Within(r, func(*Proc) bool { return true }); ok || !r.Late() {
		t.Errorf("got %v, late: %v", ok, r.Late())
	}
	if r.Close(); !over {
		t.Error("it is not over")
	}
}
