package stack

import (
	"testing"
	"unsafe"
)

// where returns the address of a variable of its own, which stays the same for one caller as long
// as its stack is not copied.
//
//go:noinline
func where() uintptr {
	var here byte
	return uintptr(unsafe.Pointer(&here))
}

// use uses some 8 KiB of stack.
//
//go:noinline
func use(depth int) byte {
	var room [512]byte
	if depth > 0 {
		room[depth] = use(depth - 1)
	}
	return room[depth]
}

func TestGrow(t *testing.T) {
	moves := func(prepare func()) bool {
		moved := make(chan bool)
		go func() { // a new one, with a small stack
			prepare()
			before := where()
			use(14)
			moved <- where() != before
		}()
		return <-moved
	}
	if moves(Grow) {
		t.Error("the stack was copied after Grow")
	}
	if !moves(func() {}) {
		t.Error("the stack is large enough without Grow: the test shows nothing")
	}
}
