//go:build amd64 || arm64

package main

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/keeper"
)

// A duration that is accepted is not negative, is read again as it is written, and is the same to
// the keeper, where that can read it. What Go reads is read as Go does.
func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{
		"90", "1.5s", "2d", "1e9", "-1", "0x1p-2", "1_000", "infd", "off", "1.001", "999999h", "106751d", "106752d",
		"9223372036.854775807", "1e400", "-0", "-0.0000000001", "1h30m", "0.0001", "5ms", "1.999d", "00000001", ".5",
		"99999.999d", "nan", "1ns1d",
	} {
		f.Add(s, int64(0))
		f.Add(s, int64(time.Second))
	}
	f.Fuzz(func(t *testing.T, s string, low int64) {
		d, err := parseDuration(s, 0, "off")
		ofGo, errOfGo := time.ParseDuration(s)
		switch {
		case s == "off":
			if d != ending.Never || err != nil {
				t.Fatalf("off is %v, %v", d, err)
			}
			return
		case errOfGo == nil && (err == nil) != (ofGo >= 0), errOfGo == nil && err == nil && d != ofGo:
			t.Fatalf("%q is %v, %v; to Go it is %v", s, d, err, ofGo)
		case err == nil && d < 0:
			t.Fatalf("%q is %v", s, d)
		}
		if err == nil {
			if again, err := parseDuration(d.String(), 0, ""); err != nil || again != d {
				t.Fatalf("%q is %v, and that is %v, %v", s, d, again, err)
			}
			low &= math.MaxInt64
			bounded, err := parseDuration(s, time.Duration(low), "")
			if (err == nil) != (int64(d) >= low) || bounded > d {
				t.Fatalf("%q, of at least %v: %v, %v", s, time.Duration(low), bounded, err)
			}
		}
		if s == "" || strings.ContainsRune(s, 0) {
			return
		}
		u, ok := keeper.Plain([]string{"finite", "-t", s, "x"}, nil)
		if ok && (err != nil || u.Timeout != d) {
			t.Fatalf("%q is %v, %v; to the keeper it is %v", s, d, err, u.Timeout)
		}
	})
}

// An option says the same in each of its forms, and in the environment.
func FuzzOptionForms(f *testing.F) {
	for row, values := range map[string][]string{
		"timeout": {"5", "1h", "off", "-1"}, "deadline": {"2026-01-31T18:30:00Z", "2026-13-01"},
		"stop-signal": {"SIGINT", "stop", "65"}, "grace": {"0", "2.5"}, "stop-grace": {"off", "1s"},
		"escalate": {"USR1@-60s,QUIT@0,TERM@5s,KILL@15s", "TERM@0"}, "leftovers": {"wait", "Wait"},
		"give-up": {"99ms", "off"}, "timeout-exit": {"0", "256"}, "parent-death": {"KILL"}, "forward": {"all"},
		"report": {"fd:1", "fd:-1", "fd:999999999999", "a b"}, "events-format": {"trace"}, "unshare": {"all", "pid,"},
		"hostname": {"a.b", "\xff"}, "cgroup": {"require"}, "log-level": {"debug"}, "log-format": {"json"},
	} {
		for _, value := range values {
			f.Add(uint8(rowOf(row)), value)
		}
	}
	f.Fuzz(func(t *testing.T, number uint8, value string) {
		row := &optionTable[int(number)%len(optionTable)]
		if row.arg == "" || row.list || row.noEnv || strings.TrimSpace(value) != value || value == "" {
			return
		}
		forms := [][]string{{"--" + row.long + "=" + value, "x"}, {"--" + row.long, value, "x"}}
		if row.short != 0 {
			forms = append(forms, []string{"-" + string(row.short) + value, "x"}, []string{"-" + string(row.short), value, "x"})
		}
		want, wantErr := parseOptions([]string{"finite", "x"}, []string{row.env() + "=" + value})
		for _, form := range forms {
			got, err := parseOptions(append([]string{"finite"}, form...), nil)
			if err == nil && wantErr == nil { // what holds for variables alone
				got.variables = want.variables
				got.fitEscalation()
			}
			if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: %+v, %v; %s=%s: %+v, %v", form, got, err, row.env(), value, want, wantErr)
			}
			if err != nil && !strings.Contains(err.Error(), "--"+row.long) {
				t.Fatalf("%q: %v", form, err)
			}
		}
		if wantErr != nil && !strings.Contains(wantErr.Error(), row.env()) {
			t.Fatalf("%s=%s: %v", row.env(), value, wantErr)
		}
	})
}

func rowOf(long string) int {
	return slices.IndexFunc(optionTable[:], func(o option) bool { return o.long == long })
}

// Whatever the arguments and the variables are, the command is what stands behind the options, and
// the variables that are options do not reach it.
func FuzzParseOptions(f *testing.F) {
	f.Add("-t\x005\x00--\x00job\x00-t\x009", "FINITE_GRACE=1s\x00PATH=/bin")
	f.Add("--pause", "FINITE_TIMEOUT=\x00FINITE_TIMEOUT=5")
	f.Add("-e1\x00-e\x002\x00x", "FINITE_EXPECT=3,4\x00FINITE_STOP_EXIT= 5 ,6")
	f.Add("--rewrite\x00TERM:QUIT\x00x", "FINITE_REWRITE=HUP:0,,USR1:USR2")
	f.Add("--group\x00--forward=all\x00x", "FINITE_GROUP=false\x00FINITE_FORWARD=group")
	f.Add("--inspect\x0012", "")
	f.Add("--lifeline\x00stdin\x00--lifeline=parent\x00--lifeline=fd:99\x00x", "FINITE_LIFELINE=parent")
	f.Add("--join\x001:net\x00--join=/proc/1/ns/pid\x00x", "FINITE_VERBOSE=3\x00FINITE_X")
	f.Add("x", "FINITE_PAUSE=maybe\x00=\x00\x00FINITE_")
	f.Fuzz(func(t *testing.T, words, variables string) {
		args := append([]string{"finite"}, strings.Split(words, "\x00")...)
		env := strings.Split(variables, "\x00")
		before := fmt.Sprintf("%q %q", args, env)
		o, err := parseOptions(args, env)
		if after := fmt.Sprintf("%q %q", args, env); after != before {
			t.Fatalf("%s became %s", before, after)
		}
		rest := withoutOptions(env)
		for _, kv := range env {
			name, _, _ := strings.Cut(kv, "=")
			own := slices.ContainsFunc(optionTable[:], func(o option) bool { return !o.noEnv && o.env() == name })
			if slices.Contains(rest, kv) == own {
				t.Fatalf("of %q %q are left", env, rest)
			}
		}
		switch {
		case err != nil:
			return
		case o.help || o.version || o.timeline != "" || o.inspect.on:
			return
		}
		c := &o.config
		if n := len(c.Args); n > len(args)-1 || !slices.Equal(c.Args, args[len(args)-n:]) || n == 0 && !c.Pause {
			t.Fatalf("%s: the command is %q", before, c.Args)
		}
		for _, d := range []time.Duration{c.Timeout, c.StopDelay} {
			if d < 0 {
				t.Fatalf("%s: %v", before, d)
			}
		}
		for _, status := range slices.Concat(c.Expect, c.StopExit) {
			if status < 0 || status > 255 {
				t.Fatalf("%s: status %d", before, status)
			}
		}
	})
}
