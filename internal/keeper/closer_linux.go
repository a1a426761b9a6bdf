//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// closer is the child that closes what can hang, and what it closes. Its memory is its own for
// good: it may never end.
type closer struct {
	ranges [maxRanges][2]int32
	count  int32
	pid    int32 // 0: it has ended, or was not started
	stack  [2048]byte
}

const maxRanges = 256

var (
	closers    [2]closer
	usedCloser int32 // for what is found now; -1: both are busy, and may be for good
)

// chooseCloser takes a closer that is not at work.
//
//go:nosplit
func chooseCloser() {
	reapHelpers()
	usedCloser = -1
	for i := int32(0); i < 2; i++ {
		if c := closerAt(i); c.pid == 0 {
			if usedCloser = i; c.count != 0 { // a page that is not written to costs nothing
				c.count = 0
			}
			return
		}
	}
}

// closeAway adds a range to what startCloser has closed.
//
//go:nosplit
func closeAway(first, last int32) {
	if usedCloser < 0 {
		return // it stays open
	}
	c := closerAt(usedCloser)
	if c.count == maxRanges { // 256 regular files
		sys3(unix.SYS_CLOSE_RANGE, uintptr(first), uintptr(last), 0)
		return
	}
	*c.rangeAt(c.count) = [2]int32{first, last}
	c.count++
}

// startCloser starts the child that closes, if there is something for it. Nobody waits for it.
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

// closeThem is what the child does. Which closer it is, its stack tells.
//
//go:nosplit
func closeThem() {
	var here byte
	closeRanges(closerAt(int32((addr(&here) - addr(&closers)) / unsafe.Sizeof(closer{}))))
	for {
		sys1(unix.SYS_EXIT, 0)
	}
}

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

// isBeingClosed reports whether a closer is at work on a descriptor: by the time a second one would
// close it, the number may be that of an own one.
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

//go:nosplit
func (c *closer) rangeAt(i int32) *[2]int32 {
	return (*[2]int32)(unsafe.Add(unsafe.Pointer(&c.ranges), uintptr(i)*8))
}

//go:nosplit
func closerAt(i int32) *closer {
	return (*closer)(unsafe.Add(unsafe.Pointer(&closers), uintptr(i&1)*unsafe.Sizeof(closer{})))
}
