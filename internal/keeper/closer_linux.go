//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// closer is a helper: a child that shares the descriptors, and closes those whose close(2) can
// hang. Its memory is never used again where it hangs.
type closer struct {
	ranges [maxRanges][2]int32
	count  int32 // of ranges
	pid    int32 // 0: the closer is free
	stack  [2048]byte
}

// maxRanges is how many ranges a closer can close.
const maxRanges = 256

var (
	closers    [2]closer
	usedCloser int32 // the closer that takes ranges now; -1: both are busy, and may hang
)

// chooseCloser chooses a closer that is free.
//
//go:nosplit
func chooseCloser() {
	reapHelpers()
	usedCloser = -1
	for i := int32(0); i < 2; i++ {
		if c := closerAt(i); c.pid == 0 {
			if usedCloser = i; c.count != 0 { // no write where none is needed: it would allocate a page
				c.count = 0
			}
			return
		}
	}
}

// closeAway adds a range of descriptors to what the chosen closer closes.
//
//go:nosplit
func closeAway(first, last int32) {
	if usedCloser < 0 {
		return // the descriptors stay open
	}
	c := closerAt(usedCloser)
	if c.count == maxRanges { // so this close may hang
		sys3(unix.SYS_CLOSE_RANGE, uintptr(first), uintptr(last), 0)
		return
	}
	*c.rangeAt(c.count) = [2]int32{first, last}
	c.count++
}

// startCloser starts the chosen closer, if it has anything to close. This process does not wait for
// it.
//
//go:nosplit
func startCloser() {
	if usedCloser < 0 || closerAt(usedCloser).count == 0 {
		return
	}
	c := closerAt(usedCloser)
	stack := topOf(addr(&c.stack), unsafe.Sizeof(c.stack))
	pid := int(spawn(unix.CLONE_VM|unix.CLONE_FILES, stack, nil, closeThem))
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_VM|unix.CLONE_FILES|uintptr(unix.SIGCHLD), stack, nil, closeThem))
	}
	if pid < 0 {
		closeRanges(c)
		return
	}
	c.pid = int32(pid)
	helpers++
	helperPause = 0
}

// closeThem is what a closer does. The address of its stack tells which closer it is.
//
//go:nosplit
func closeThem() {
	var here byte
	closeRanges(closerAt(int32((addr(&here) - addr(&closers)) / unsafe.Sizeof(closer{}))))
	for {
		sys1(unix.SYS_EXIT, 0)
	}
}

// closeRanges closes the ranges of a closer.
//
//go:nosplit
func closeRanges(c *closer) {
	for i := int32(0); i < c.count; i++ {
		r := c.rangeAt(i)
		if sys3(unix.SYS_CLOSE_RANGE, uintptr(r[0]), uintptr(r[1]), 0) < 0 { // before Linux 5.9
			for fd := r[0]; fd <= r[1] && fd < 1<<16; fd++ {
				sys1(unix.SYS_CLOSE, uintptr(fd))
			}
		}
	}
}

// isBeingClosed reports whether a closer is at work on a descriptor. A second closer would close
// the number late: by then it may be a descriptor of this package's own.
//
//go:nosplit
func isBeingClosed(fd int32) bool {
	for i := int32(0); i < 2; i++ {
		c := closerAt(i)
		for n := int32(0); c.pid != 0 && n < c.count; n++ {
			if r := c.rangeAt(n); r[0] <= fd && fd <= r[1] {
				return true
			}
		}
	}
	return false
}

// rangeAt is the i-th range.
//
//go:nosplit
func (c *closer) rangeAt(i int32) *[2]int32 {
	return (*[2]int32)(unsafe.Add(unsafe.Pointer(&c.ranges), uintptr(i)*8))
}

// closerAt is the i-th closer.
//
//go:nosplit
func closerAt(i int32) *closer {
	return (*closer)(unsafe.Add(unsafe.Pointer(&closers), uintptr(i&1)*unsafe.Sizeof(closer{})))
}
