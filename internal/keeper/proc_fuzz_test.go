//go:build amd64 || arm64

package keeper

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/finite-init/finite/internal/procfs"
)

// putEntries puts a text where readProc does, with something else behind it. It returns how many
// bytes readProc would have read.
func putEntries(text []byte, behind byte) int {
	for i := range entries {
		entries[i] = behind
	}
	return copy(entries[:len(entries)-1], text)
}

// What the keeper reads in a stat is what package procfs reads in it, whatever the name is.
func FuzzStartIn(f *testing.F) {
	f.Add(7, "sh", uint64(12345), uint16(0))
	f.Add(1, ") S 1 2 3 (", uint64(math.MaxInt64), uint16(1))
	f.Add(4194304, "\n", uint64(0), uint16(40))
	f.Add(4194304, ")\xff )", uint64(99), uint16(1000))
	f.Fuzz(func(t *testing.T, pid int, comm string, start uint64, cut uint16) {
		comm, start = comm[:min(len(comm), 64)], start&math.MaxInt64
		text := fmt.Appendf(nil, "%d (%s) S", pid, comm)
		text = append(text, strings.Repeat(" 18446744073709551615", 18)...)
		text = fmt.Appendf(text, " %d", start)
		text = append(text, strings.Repeat(" 0", 30)...)
		if got := startIn(putEntries(append(text, '\n'), '7')); got != int64(start) {
			t.Fatalf("of %q the start is %d, want %d", text, got, start)
		}
		s, err := procfs.ParseStat(bytes.ReplaceAll(text, []byte("18446744073709551615"), []byte("1")))
		if pid > 9 && (err != nil || s.StartTime != start) {
			t.Fatalf("of %q procfs has %+v, %v", text, s, err)
		}
		// A text that ends anywhere is read to its end, and no further.
		text = text[:int(cut)%len(text)]
		if a, b := startIn(putEntries(text, '7')), startIn(putEntries(text, ' ')); a != b || a < 0 {
			t.Fatalf("of %q the start is %d or %d", text, a, b)
		}
	})
}

// What the keeper reads in a status is what package procfs reads in it.
func FuzzRunsIn(f *testing.F) {
	f.Add("sh", "Umask:\t0022\n", byte('T'), "Tgid:\t1\n", uint16(0))
	f.Add("\nState:\tR", "", byte('t'), "State:\tR\n", uint16(20))
	f.Add("State:\tT", "St\n", byte('S'), "", uint16(9))
	f.Fuzz(func(t *testing.T, comm, before string, state byte, after string, cut uint16) {
		escaped := strings.NewReplacer("\n", `\n`, `\`, `\\`).Replace(comm)
		if strings.Contains(before, "State:") || before != "" && !strings.HasSuffix(before, "\n") {
			return
		}
		head := "Name:\t" + escaped + "\n" + before + "State:\t" + string(rune(state)) + " (x)\n"
		text := []byte(head + after)
		if bytes.IndexByte(text, 0) >= 0 {
			return
		}
		s, err := procfs.ParseStatus([]byte(head)) // what is behind the first State does not count
		n := putEntries(text, 'R')
		if want := s.State != 'T' && s.State != 't'; err == nil && n == len(text) && runsIn(n) != want {
			t.Fatalf("%q: runs is %v, want %v", text, !want, want)
		}
		n = putEntries(text[:int(cut)%len(text)], 'T')
		stopped := runsIn(n)
		n = putEntries(text[:int(cut)%len(text)], 'R')
		if runsIn(n) != stopped {
			t.Fatalf("%q: what is behind it counts", entries[:n])
		}
	})
}

// room is where a test writes digits. Such a variable does not move.
var room [mostDigits + 1]byte

// Numbers are read as they are written, and nothing else is a number.
func FuzzDigits(f *testing.F) {
	f.Add(int64(0), "0")
	f.Add(int64(math.MaxInt64), "16777216")
	f.Add(int64(1<<32), "4294967297")
	f.Add(int64(7), "18446744073709551623")
	f.Add(int64(7), "+7")
	f.Fuzz(func(t *testing.T, n int64, words string) {
		room = [mostDigits + 1]byte{}
		n &= math.MaxInt64
		end := putDigits(addr(&room), n)
		if got := string(room[:end-addr(&room)]); got != fmt.Sprint(n) || room[mostDigits] != 0 {
			t.Fatalf("%d is written as %q", n, got)
		}
		words, _, _ = strings.Cut(words, "\x00")
		at, kept := cString(words)
		digits := strings.TrimLeft(words, "0")
		if got := numberAt(at); got < -1 || got > 0 && digits != fmt.Sprint(got) || got == 0 && digits != "" {
			t.Fatalf("%q is %d", words, got)
		}
		if isNumber(at, int32(n)) && digits != strings.TrimLeft(fmt.Sprint(int32(n)), "0") {
			t.Fatalf("%q is %d", words, int32(n))
		}
		if got := duration(at); got < -1 {
			t.Fatalf("%q is %d ns", words, got)
		}
		runtime.KeepAlive(kept)
	})
}
