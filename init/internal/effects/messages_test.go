//go:build amd64 || arm64

package effects

import (
	"bytes"
	"strings"
	"testing"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/reap"
)

// A signal that a keeper tells of is told back as the same signal, whatever it came with. Its name
// ends at a zero byte, or with its room.
func FuzzArrived(f *testing.F) {
	f.Add(int32(15), int32(0), int32(42), uint32(1000), uint64(7), []byte("sh"))
	f.Add(int32(0), int32(-1), int32(-5), uint32(1<<32-1), ^uint64(0), []byte("sixteen letters!"))
	f.Add(int32(2), int32(0x80), int32(3), uint32(7), uint64(0), []byte("a\x00b"))
	f.Add(int32(29), int32(-5), int32(3), uint32(7), uint64(3), []byte("\xff"))
	f.Fuzz(func(t *testing.T, number, code, pid int32, uid uint32, value uint64, name []byte) {
		s := keeper.Signal{Number: number, Code: code, PID: pid, UID: uid, Value: value}
		copy(s.Name[:], name)
		sig := Arrived(&s)
		before, _, _ := bytes.Cut(s.Name[:], []byte{0})
		if sig.Sender.Comm != string(before) || sig.Sender.PID < 0 {
			t.Fatalf("%+v: %+v", s, sig)
		}
		back := told(&sig)
		again := Arrived(&back)
		if len(before) == len(s.Name) { // the last byte is for the end of the name
			before = before[:len(before)-1]
		}
		if sig.Sender.Kernel { // by which call does not matter
			sig.Code, sig.Value = again.Code, again.Value
		}
		if sig.Sender.Comm = string(before); again != sig {
			t.Fatalf("%+v: told back as %+v, which is %+v", s, back, again)
		}
	})
}

// A change that a keeper tells of is the same one.
func FuzzChange(f *testing.F) {
	f.Add(int32(42), uint32(1000), int32(1), int32(255), int64(1), int64(2), int64(3))
	f.Add(int32(-1), uint32(1<<32-1), int32(-1), int32(-1<<31), int64(-1), int64(-1<<63), int64(1<<63-1))
	f.Fuzz(func(t *testing.T, pid int32, uid uint32, code, status int32, user, system, rss int64) {
		c := keeper.Change{
			PID: pid, UID: uid, Code: code, Status: status, User: user, System: system, MaxRSS: rss,
		}
		r := Change(c)
		back := keeper.Change{
			PID: int32(r.PID), UID: uint32(r.UID), Code: int32(r.Code), Status: int32(r.Status),
			User: int64(r.Rusage.User), System: int64(r.Rusage.System), MaxRSS: r.Rusage.MaxRSS,
		}
		ended := r.Code == reap.CodeExited || r.Code == reap.CodeKilled || r.Code == reap.CodeDumped
		if back != c || r.Ended() != ended || strings.Contains(r.String(), "\n") {
			t.Fatalf("%+v: %+v", c, r)
		}
	})
}
