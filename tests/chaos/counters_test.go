package chaos

import (
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counters is what the tree counts of itself; the layout is player.c's.
type counters struct {
	Ready    uint32
	Forking  uint32
	Refused  uint32
	Born     uint32
	Reaping  uint32
	Reaped   uint32
	Got      uint32
	Stuck    uint32
	StuckPID [8]uint32
	_        uint32     // victims
	_        [64]uint32 // victim
	_        uint32     // root
	Mapped   uint32
}

// makeCounters makes the file, which the tree maps.
func makeCounters(path string) error {
	c := counters{Mapped: 1}
	return os.WriteFile(path, (*[unsafe.Sizeof(c)]byte)(unsafe.Pointer(&c))[:], 0o666)
}

func mapCounters(path string) (*counters, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, int(unsafe.Sizeof(counters{})),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return (*counters)(unsafe.Pointer(unsafe.SliceData(b))), nil
}

// orphans returns how many processes were there for finite to reap besides the command: who was
// born and was not reaped by its own parent. There are two bounds, which differ where somebody was
// killed between an act and the count of it.
func (c *counters) orphans() (low, high int) {
	low = int(c.Born) - int(c.Reaping)
	high = int(c.Forking) - int(c.Refused) - int(c.Reaped)
	return low, high
}

func (c *counters) ready() bool { return atomic.LoadUint32(&c.Ready) != 0 }
