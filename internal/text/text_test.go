package text

import (
	"testing"
)

func TestPrintable(t *testing.T) {
	if got := Printable("a\x1b[31m\nb\x7f\u0085é\xff\u2028\u202e "); got != "a?[31m?b??é??? " {
		t.Errorf("got %q", got)
	}
}
