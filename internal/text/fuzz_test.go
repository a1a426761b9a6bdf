package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever a name is, it is printable, is as long as it was, and is not changed a second time.
func FuzzPrintable(f *testing.F) {
	for _, name := range []string{"", "sh", "a\x1b[31m\nb\x7f", "\xff\xfe", "\u202e\u2028\u00a0", "日本 é", "\ufffd"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := Printable(name)
		if utf8.RuneCountInString(got) != utf8.RuneCountInString(name) || Printable(got) != got {
			t.Fatalf("Printable(%q) = %q", name, got)
		}
		if strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 || !utf8.ValidString(got) {
			t.Fatalf("Printable(%q) = %q", name, got)
		}
	})
}

// What is cut fits, what is padded fills, and what is split loses no more than blanks.
func FuzzSplit(f *testing.F) {
	f.Add("waiting in do_wait for a child", 10)
	f.Add("日本語", 1)
	f.Add("日 本  語 ", 3)
	f.Add("  x", 1)
	f.Add("\xff\xff \xff", 2)
	f.Add("", -1)
	f.Fuzz(func(t *testing.T, words string, width int) {
		width %= 200
		if cut := Cut(words, width); Width(cut) > max(0, width) || !strings.HasPrefix(words, cut) {
			t.Fatalf("Cut(%q, %d) = %q", words, width, cut)
		}
		padded := Pad(words, width)
		if Width(padded) != max(width, Width(words)) || !strings.HasPrefix(padded, words) {
			t.Fatalf("Pad(%q, %d) = %q", words, width, padded)
		}
		part, rest := Split(words, width)
		if Width(part) > max(1, width) || !strings.HasPrefix(words, part) || !strings.HasSuffix(words, rest) ||
			len(rest) > 0 && len(rest) >= len(words) {
			t.Fatalf("Split(%q, %d) = %q, %q", words, width, part, rest)
		}
		lost := words[len(part) : len(words)-len(rest)]
		if part != "" && strings.Trim(lost, " ") != "" {
			t.Fatalf("Split(%q, %d) = %q, %q: %q is lost", words, width, part, rest, lost)
		}
	})
}
