//go:build amd64 || arm64

package keeper

import (
	"testing"
	"time"
)

func TestALongWaitEndsBeforeItsTime(t *testing.T) {
	const day = 24 * time.Hour
	times := []time.Duration{20 * time.Millisecond, time.Second, 10 * time.Second, time.Hour, 400 * day}
	for _, d := range times {
		limitUntil(now() + int64(d))
		got := time.Duration(poll.limit[0]*second + poll.limit[1])
		if margin := d / 200; got > d-margin || got < d-d/64-exactWait {
			t.Errorf("in %v a wait begins with a limit of %v: the kernel may end it %v late", d, got, margin)
		}
	}
	limitUntil(now() - second)
	if poll.limit != [2]int64{} {
		t.Errorf("a time that is over is waited for: %v", poll.limit)
	}
	if limitUntil(0) != 0 {
		t.Error("never has a limit")
	}
}
