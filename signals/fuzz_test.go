package signals

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A signal that can be sent on with its siginfo_t arrives as what it was.
func FuzzSiginfo(f *testing.F) {
	f.Add(int32(15), int32(0), int32(42), uint32(1000), uint64(7))
	f.Add(int32(40), int32(-1), int32(-1), uint32(1<<32-1), uint64(1<<63))
	f.Add(int32(14), int32(-2), int32(9), uint32(0), uint64(9))
	f.Add(int32(0), int32(-6), int32(-1<<31), uint32(0), ^uint64(0))
	f.Add(int32(-1), int32(0x80), int32(1), uint32(5), uint64(0))
	f.Fuzz(func(t *testing.T, number, code, pid int32, uid uint32, value uint64) {
		sig := Arrived(number, code, pid, uid, value)
		s := sig.Sender
		if !s.Known || s.PID < 0 || s.UID < 0 || s.Kernel && s.PID+s.UID != 0 || code > 0 && !s.Kernel {
			t.Fatalf("%+v", sig)
		}
		info, ok := encode(sig)
		if ok != (code < 0 && code != codeTkill) {
			t.Fatalf("%+v: encoded: %v", sig, ok)
		}
		if !ok {
			return
		}
		n := binary.NativeEndian
		again := Arrived(int32(n.Uint32(info[0:])), int32(n.Uint32(info[8:])), int32(n.Uint32(info[16:])),
			n.Uint32(info[20:]), n.Uint64(info[24:]))
		if again != sig || n.Uint32(info[4:]) != 0 || n.Uint32(info[12:]) != 0 {
			t.Fatalf("%+v is sent on as %+v", sig, again)
		}
	})
}

// A set has the signals that it was made of, and no number that is no signal.
func FuzzSet(f *testing.F) {
	f.Add(15, 1, 64, 15)
	f.Add(0, -1, 65, 1<<40)
	f.Fuzz(func(t *testing.T, a, b, c, asked int) {
		members := []unix.Signal{unix.Signal(a), unix.Signal(b), unix.Signal(c)}
		set := SetOf(members...)
		want, count := false, make(map[unix.Signal]bool)
		for _, sig := range members {
			if sig >= 1 && sig <= RTMax {
				count[sig] = true
				want = want || int(sig) == asked
			}
		}
		if set.Has(unix.Signal(asked)) != want || set.Len() != len(count) {
			t.Fatalf("%v: has %d: %v, %d members", members, asked, !want, set.Len())
		}
	})
}

// Rules that are written in any spelling do what they say, the last one for a signal, and nothing
// else.
func FuzzRewriteRules(f *testing.F) {
	f.Add("TERM:QUIT", "HUP:0", uint8(15))
	f.Add("rtmin+1:15", "SIGRTMAX-29:0", uint8(35))
	f.Add("CLD:TERM", "a:b:c", uint8(17))
	f.Add("USR1:KILL", "10:USR2", uint8(10))
	f.Fuzz(func(t *testing.T, first, second string, asked uint8) {
		var r Rewrite
		want, kept := unix.Signal(asked), true
		for _, rule := range []string{first, second} {
			before := r
			if r.ParseRule(rule) != nil {
				if r != before {
					t.Fatalf("%q is an error, and changes the rules", rule)
				}
				continue
			}
			from, to, _ := strings.Cut(rule, ":")
			sig, err := Parse(from)
			if err != nil || sig == unix.SIGKILL || sig == unix.SIGSTOP || sig == unix.SIGCHLD {
				t.Fatalf("%q is a rule", rule)
			}
			if int(sig) == int(asked) {
				want, _ = Parse(to)
				kept = to != "0"
			}
		}
		if got, keep := r.Apply(unix.Signal(asked)); keep != kept || kept && got != want {
			t.Fatalf("%q, %q: %d is passed on as %d, %v; want %d, %v", first, second, asked, got, keep, want, kept)
		}
	})
}
