package effects

import "testing"

// Where nothing was counted when SIGKILL ended the command, the count is since the cgroup was made.
func TestOOMKillsBeforeTheCount(t *testing.T) {
	var b base
	counter, want := OpenOOMCounter()
	counter.Close()
	if n, ever := b.OOMKills(true); n != want || !ever {
		t.Errorf("%d, %v; want %d", n, ever, want)
	}
	if n, ever := b.OOMKills(false); n != 0 || ever {
		t.Errorf("%d, %v", n, ever)
	}
}
