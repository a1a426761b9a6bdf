package text

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Style is what a reader's terminal and locale can show.
type Style struct {
	Width   int  // columns of the terminal; 0: lines may be of any length
	Colour  bool // by escape sequences
	Unicode bool // box-drawing characters, and names as they are
	Details bool // of every process, not only of those that are stuck or were asked for
}

// StyleFor is the style for what is written to fd, with these variables. Colours need a terminal,
// and neither NO_COLOR nor TERM=dumb. Unicode needs a locale of UTF-8 (locale(7)).
func StyleFor(fd int, getenv func(string) string) Style {
	var s Style
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := getenv(name); value != "" {
			value = strings.ToLower(value)
			s.Unicode = strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
			break
		}
	}
	if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err != nil {
		return s
	}
	s.Colour = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	if size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil {
		s.Width = int(size.Col)
	}
	return s
}
