//go:build amd64 || arm64

package keeper

import (
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// checkLine says what is wrong with a line for stderr.
func checkLine(t *testing.T, l *line, ascii bool) string {
	t.Helper()
	words := string(l.text[:l.length])
	if l.length > lineSize || strings.Count(words, "\n") != 1 || words[len(words)-1] != '\n' {
		t.Fatalf("%d bytes: %q", l.length, words)
	}
	for _, c := range []byte(words[:len(words)-1]) {
		if c < ' ' || c == 0x7f || ascii && c > 0x7f {
			t.Fatalf("%q in %q", c, words)
		}
	}
	return words
}

// Whatever siginfo a signal came with, and whatever its sender is called, there is one line about
// it, of printable characters.
func FuzzSender(f *testing.F) {
	f.Add(int32(15), int32(0), int32(1), uint32(0), "", true)
	f.Add(int32(15), int32(-1), int32(-5), uint32(1<<32-1), "", false)
	f.Add(int32(-1), int32(-6), int32(-1<<31), uint32(7), "sixteen letters!", false)
	f.Add(int32(15), int32(0x80), int32(3), uint32(0), "sh", false)
	f.Fuzz(func(t *testing.T, number, code, pid int32, uid uint32, name string, early bool) {
		s := Signal{Number: number, Code: code, PID: pid, UID: uid}
		copy(s.Name[:], strings.Map(func(r rune) rune { // the front has made it printable
			if r < ' ' || r >= 0x7f {
				return '?'
			}
			return r
		}, name))
		startLine()
		if current < 0 {
			t.Fatal("no line is free")
		}
		put("stop requested by ")
		putSignal(max(number, 1))
		putSender(&s, early)
		l := lineAt(current)
		finishLine(l)
		words := checkLine(t, l, true)
		named, want := strings.Contains(words, "pid "), "pid "+strconv.Itoa(max(int(pid), 0))
		isEarly := strings.HasSuffix(words, " before the command was started\n")
		if named && (pid <= 0 && !isClaimed(&s) || !strings.Contains(words, want)) || early != isEarly {
			t.Fatalf("%+v: %q", s, words)
		}
	})
}

// Whatever a command is called, there is one line about it. Of ASCII, it says what the name is.
func FuzzQuoted(f *testing.F) {
	for _, name := range []string{
		"", "ls", "a b", "\"\\", "\n\t\r\a\b\x1b\x7f", "é\xff", strings.Repeat("\x01", 200), strings.Repeat("x", 600),
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		name, _, _ = strings.Cut(name, "\x00")
		at, kept := cString(name)
		l := lineAt(ownLine)
		beginLine(l)
		appendQuoted(l, at)
		full := l.length >= lineSize-1
		endLine(l)
		words := checkLine(t, l, false)
		quoted := strings.TrimSuffix(strings.TrimPrefix(words, "finite: "), "\n")
		isASCII := strings.IndexFunc(name, func(r rune) bool { return r > 0x7f }) < 0
		if got, err := strconv.Unquote(quoted); !full && isASCII && (err != nil || got != name) {
			t.Fatalf("%q is quoted as %s, which is %q, %v", name, quoted, got, err)
		}
		runtime.KeepAlive(kept)
	})
}
