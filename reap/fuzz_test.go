package reap

import (
	"encoding/binary"
	"strings"
	"testing"
	"unsafe"
)

// A change is what the bytes of siginfo_t say, at the offsets that sigaction(2) has on 64-bit
// machines, and every change has words of one line.
func FuzzChange(f *testing.F) {
	for _, code := range []byte{0, 1, 2, 3, 4, 5, 6, 7, 255} {
		f.Add([]byte{17, 0, 0, 0, 0, 0, 0, 0, code, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 232, 3, 0, 0, 9, 0, 0, 0})
	}
	f.Add([]byte(strings.Repeat("\xff", 128)))
	f.Fuzz(func(t *testing.T, text []byte) {
		var w waiter
		b := (*[unsafe.Sizeof(w.info)]byte)(unsafe.Pointer(&w.info))[:]
		copy(b, text)
		c := w.change()
		n := binary.NativeEndian
		if c.Code != Code(n.Uint32(b[8:])) || c.PID != int(int32(n.Uint32(b[16:]))) ||
			c.UID != int(n.Uint32(b[20:])) || c.Status != int(int32(n.Uint32(b[24:]))) {
			t.Fatalf("% x is %+v", b[:28], c)
		}
		if words := c.String(); !strings.HasPrefix(words, "pid ") || strings.Contains(words, "\n") {
			t.Fatalf("%+v: %q", c, words)
		}
		bySignal := c.Code >= CodeKilled && c.Code <= CodeStopped
		if c.Ended() != (c.Code >= CodeExited && c.Code <= CodeDumped) || !bySignal && c.Signal() != 0 ||
			bySignal && int(c.Signal()) != c.Status {
			t.Fatalf("%+v: ended: %v, signal %d", c, c.Ended(), c.Signal())
		}
	})
}
