package procfs

import (
	"math"
	"testing"
	"time"
)

// A process with many threads uses three years of processor time within days, and a machine may run
// for as long.
func TestTicksOfYears(t *testing.T) {
	const years = 4 * 365 * 24 * time.Hour
	const inTicks = uint64(years / (time.Second / ticks))
	s := Stat{UserTime: inTicks, SystemTime: inTicks, StartTime: inTicks}
	if got := s.CPU(); got != 2*years {
		t.Errorf("%d ticks are %v, want %v", 2*inTicks, got, 2*years)
	}
	if got := s.Age(); got != 0 { // this machine was not up for so long
		t.Errorf("a process that is yet to start is %v old", got)
	}
	s = Stat{UserTime: math.MaxUint64, SystemTime: math.MaxUint64, StartTime: math.MaxUint64}
	if s.CPU() < 0 || s.Age() != 0 {
		t.Errorf("no end of ticks: %v, %v old", s.CPU(), s.Age())
	}
}
