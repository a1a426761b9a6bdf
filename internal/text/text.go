package text

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plural returns a number and the noun that goes with it.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Printable replaces what would break a line or write to a terminal in a name that somebody else
// chose: a process's, a file's.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// Width returns how many columns a terminal shows s in, at most: characters of East Asia take two.
func Width(s string) (n int) {
	for _, r := range s {
		n += columns(r)
	}
	return n
}

func columns(r rune) int {
	if r >= 0x1100 && (r < 0x2500 || r >= 0x2580) { // but the drawing characters
		return 2
	}
	return 1
}

// Cut returns as much of s as fits into width columns.
func Cut(s string, width int) string {
	for i, r := range s {
		if width -= columns(r); width < 0 {
			return s[:i]
		}
	}
	return s
}

// Pad returns s with as many blanks as it needs to be width columns wide.
func Pad(s string, width int) string { return s + strings.Repeat(" ", max(0, width-Width(s))) }

// Split returns as many words of s as fit into width columns, or as much of the first one, and the
// rest.
func Split(s string, width int) (part, rest string) {
	if Width(s) <= width {
		return s, ""
	}
	part = Cut(s, max(1, width))
	if part == "" { // a wide character, and one column
		return "", ""
	}
	if blank := strings.LastIndexByte(s[:min(len(part)+1, len(s))], ' '); blank > 0 {
		part = s[:blank]
	}
	return part, strings.TrimLeft(s[len(part):], " ")
}
