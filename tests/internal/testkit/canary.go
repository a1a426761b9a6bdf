package testkit

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Canaries notice when a processor of this machine is not to be had: one on each, which sleeps for
// a moment, again and again. On a machine that is shared, or a guest of another one, a processor
// may be away for many seconds, and with it everybody who waits for just that one.
type Canaries struct {
	mu   sync.Mutex
	gaps []gap
	stop chan struct{}
	wg   sync.WaitGroup
}

// gap is a time in which a canary did not get its processor.
type gap struct{ from, to time.Time }

// KeepCanaries keeps them until the test ends.
func KeepCanaries(t *testing.T) *Canaries {
	t.Helper()
	c := &Canaries{stop: make(chan struct{})}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Fatal(err)
	}
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			c.wg.Go(func() { c.watch(cpu) })
		}
	}
	t.Cleanup(func() {
		close(c.stop)
		c.wg.Wait()
	})
	return c
}

func (c *Canaries) watch(cpu int) {
	runtime.LockOSThread() // and never unlocked: the thread, which has an affinity, ends with the goroutine
	var only unix.CPUSet
	only.Set(cpu)
	if unix.SchedSetaffinity(0, &only) != nil {
		return
	}
	const nap = 10 * time.Millisecond
	for last := time.Now(); ; {
		select {
		case <-c.stop:
			return
		default:
		}
		request := unix.NsecToTimespec(int64(nap))
		_ = unix.Nanosleep(&request, nil)
		now := time.Now()
		if now.Sub(last) > 10*nap {
			c.mu.Lock()
			c.gaps = append(c.gaps, gap{last, now})
			c.mu.Unlock()
		}
		last = now
	}
}

// Missed is how long processors were away since begin, all together.
func (c *Canaries) Missed(begin time.Time) (sum time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.gaps) - 1; i >= 0 && c.gaps[i].to.After(begin); i-- {
		from := c.gaps[i].from
		if from.Before(begin) {
			from = begin
		}
		sum += c.gaps[i].to.Sub(from)
	}
	return sum
}
