package ending

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func mustParseLadder(s string) Ladder {
	l, err := ParseLadder(s, time.ParseDuration)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return l
}

func TestParseLadder(t *testing.T) {
	got := mustParseLadder(" usr1@-60s, QUIT@0s,dump@0s,15@5s,RTMIN+1@6s,KILL@1m")
	want := Ladder{
		{-time.Minute, unix.SIGUSR1},
		{0, unix.SIGQUIT},
		{0, 0},
		{5 * time.Second, unix.SIGTERM},
		{6 * time.Second, 35},
		{time.Minute, unix.SIGKILL},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if text := got.String(); text != "USR1@-1m0s,QUIT@0s,DUMP@0s,TERM@5s,RTMIN+1@6s,KILL@1m0s" ||
		!slices.Equal(mustParseLadder(text), got) {
		t.Errorf("got %q", text)
	}
	if text := got.from(0).Announce(); text != "SIGQUIT, a snapshot, SIGTERM in 5s, SIGRTMIN+1 in 6s, and SIGKILL to everything in 1m0s" {
		t.Errorf("got %q", text)
	}
	for text, why := range map[string]string{
		"":                  "no time",
		"TERM":              `"TERM": no time`,
		"TERM@0s":           "must end with KILL",
		"TERM@0s,":          `"": no time`,
		"TERM@x,KILL@1s":    `"TERM@x": time: invalid duration`,
		"FOO@0s,KILL@1s":    `"FOO@0s": unknown signal`,
		"0@0s,KILL@1s":      `"0@0s"`,
		"STOP@0s,KILL@1s":   "SIGSTOP ends nothing",
		"KILL@0s,KILL@1s":   "nothing can come after KILL",
		"TERM@2s,KILL@1s":   "KILL@1s must not be before",
		"TERM@-2s,KILL@-1s": "KILL must not be before the deadline",
		strings.Repeat("TERM@0s,QUIT@0s,", maxRungs/2) + "KILL@0s": "at most 64 rungs",
	} {
		if l, err := ParseLadder(text, time.ParseDuration); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, %v; want %q", text, l, err, why)
		}
	}
}

// A ladder that is accepted is written back as the same one, is in order, ends with KILL, and can
// be said in one line. A duration that is negative by itself is no way around the order.
func FuzzParseLadder(f *testing.F) {
	f.Add("USR1@-60s,QUIT@0s,TERM@5s,KILL@15s")
	f.Add("DUMP@0s,KILL@0s")
	f.Add("TERM@--5s,KILL@0s")
	f.Add("TERM@-2562047h47m16.854775808s,KILL@2562047h47m16.854775807s")
	f.Add("dump@0s,dump@0s,SIGRTMIN+3@0s,9@0s")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLadder(s, time.ParseDuration)
		if err != nil {
			return
		}
		again, err := ParseLadder(l.String(), time.ParseDuration)
		if err != nil || !slices.Equal(again, l) {
			t.Fatalf("%q is %v, and that is %v, %v", s, l, again, err)
		}
		byTime := func(a, b LadderRung) int { return cmp.Compare(a.After, b.After) }
		last := l[len(l)-1]
		if !slices.IsSortedFunc(l, byTime) || len(l) > maxRungs || last.Signal != unix.SIGKILL || last.After < 0 {
			t.Fatalf("%q is %v", s, l)
		}
		rungs := 0
		for first := 0; first < len(l); rungs++ {
			first = l.Group(first)
		}
		words := l.Announce()
		if rungs > len(l) || strings.ContainsAny(words, "\n") || strings.Contains(words, "SIGSTOP") ||
			!strings.Contains(words, "SIGKILL to everything") {
			t.Fatalf("%q: %q", s, words)
		}
		if rest := l.from(0); len(rest) == 0 || rest[0].After < 0 {
			t.Fatalf("%q from 0: %v", s, rest)
		}
	})
}
