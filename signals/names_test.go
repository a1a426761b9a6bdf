package signals

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	good := map[string]unix.Signal{
		"TERM": 15, "SIGTERM": 15, "term": 15, "sigterm": 15, "15": 15, "1": 1, "64": 64, "HUP": 1, "CLD": 17,
		"IOT": 6, "POLL": 29, "IO": 29,
		"RTMIN": 34, "SIGRTMIN": 34, "RTMIN+3": 37, "SIGRTMIN+30": 64, "RTMAX": 64, "RTMAX-1": 63,
		"RTMAX-30": 34, "rtmin+0": 34,
		"STKFLT": 16, "PWR": 30, "SYS": 31,
	}
	for s, want := range good {
		if got, err := Parse(s); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"", "0", "65", "-1", "+15", "999999999999", "SIG", "SIGSIGTERM", "TERMX", " TERM", "RTMIN+31",
		"RTMIN-1", "RTMAX+1", "RTMAX-31", "RTMIN+",
		"RTMIN+x", "RTMIN3", "15 ", "0x0f", "1.5",
	} {
		if got, err := Parse(s); err == nil {
			t.Errorf("Parse(%q) = %d, want an error", s, got)
		}
	}
}

func TestNameIsParsed(t *testing.T) {
	for sig := unix.Signal(1); sig <= RTMax; sig++ {
		if got, err := Parse(Name(sig)); err != nil || got != sig {
			t.Errorf("Parse(Name(%d) = %q) = %d, %v", sig, Name(sig), got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"TERM", "SIGRTMIN+3", "RTMAX-", "65", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sig, err := Parse(s)
		if err != nil {
			return
		}
		if sig < 1 || sig > RTMax {
			t.Fatalf("Parse(%q) = %d", s, sig)
		}
		if again, err := Parse(Name(sig)); err != nil || again != sig {
			t.Fatalf("Parse(%q) = %d, but Parse(%q) = %d, %v", s, sig, Name(sig), again, err)
		}
	})
}

func TestRewrite(t *testing.T) {
	var r Rewrite
	for _, rule := range []string{
		"TERM:QUIT", "HUP:0", "RTMIN+1:15", "USR1:RTMAX", "USR2:USR1", "USR2:KILL",
	} {
		if err := r.ParseRule(rule); err != nil {
			t.Fatalf("ParseRule(%q): %v", rule, err)
		}
	}
	for from, want := range map[unix.Signal]unix.Signal{15: 3, 35: 15, 10: 64, 12: 9, 2: 2, 64: 64} {
		if got, keep := r.Apply(from); !keep || got != want {
			t.Errorf("Apply(%d) = %d, %v; want %d", from, got, keep, want)
		}
	}
	if got, keep := r.Apply(1); keep {
		t.Errorf("Apply(1) = %d, want it dropped", got)
	}
	for _, rule := range []string{
		"", "TERM", "TERM:", ":TERM", "TERM:QUIT:HUP", "0:TERM", "KILL:TERM", "STOP:0", "CHLD:TERM",
		"TERM:65", "TERM=QUIT",
	} {
		if err := r.ParseRule(rule); err == nil {
			t.Errorf("ParseRule(%q): want an error", rule)
		}
	}
}

func FuzzRewrite(f *testing.F) {
	f.Add("TERM:QUIT")
	f.Add("HUP:0")
	f.Add("a:b:c")
	f.Fuzz(func(t *testing.T, rule string) {
		var r Rewrite
		if r.ParseRule(rule) != nil {
			return
		}
		if !strings.Contains(rule, ":") {
			t.Fatalf("ParseRule(%q) took a rule without a colon", rule)
		}
		for sig := unix.Signal(1); sig <= RTMax; sig++ {
			if to, keep := r.Apply(sig); keep && (to < 1 || to > RTMax) {
				t.Fatalf("ParseRule(%q): Apply(%d) = %d", rule, sig, to)
			}
		}
	})
}

func TestIsStop(t *testing.T) {
	for sig := unix.Signal(1); sig <= RTMax; sig++ {
		want := strings.Contains(" SIGTERM SIGINT SIGQUIT SIGHUP ", " "+Name(sig)+" ")
		if IsStop(sig) != want {
			t.Errorf("IsStop(%s) = %v", Name(sig), !want)
		}
	}
}
