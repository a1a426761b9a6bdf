package testkit

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"
)

func TestStretch(t *testing.T) {
	const text = `exec "$0" -t 1s -k 300ms --escalate USR1@-1s,KILL@0 --stop-grace 1h -- sh -c "sleep 1000; s=7"`
	for factor, want := range map[float64]string{
		1: text,
		2: `exec "$0" -t 2000ms -k 600ms --escalate USR1@-2000ms,KILL@0 ` +
			`--stop-grace 1h -- sh -c "sleep 1000; s=7"`,
		3.5: `exec "$0" -t 3500ms -k 1050ms --escalate USR1@-3500ms,KILL@0 ` +
			`--stop-grace 1h -- sh -c "sleep 1000; s=7"`,
	} {
		if got := stretch(text, factor); got != want {
			t.Errorf("by %v: %s, want %s", factor, got, want)
		}
	}
}

func TestSlowness(t *testing.T) {
	for took, want := range map[time.Duration]float64{
		0: 1, usual / 2: 1, usual: 1, 3 * usual: 3, 1000 * usual: slowest,
	} {
		if got := slowness(took); got != want {
			t.Errorf("%v for a program: %v, want %v", took, got, want)
		}
	}
	if got := Slow(); got < 1 || got > slowest || got != Slow() {
		t.Errorf("%v", got)
	}
	if told, err := strconv.ParseFloat(os.Getenv(toldVariable), 64); err != nil || told != Slow() {
		t.Errorf("others are told %v, %v; it is %v", told, err, Slow())
	}
}

// A run is played again until its deadline does not come too early, and then not any more.
func TestComplete(t *testing.T) {
	var got []string
	Complete(t, 100*time.Millisecond, func(deadline string) bool {
		got = append(got, deadline)
		return len(got) == 3
	})
	if want := []string{"100ms", "300ms", "900ms"}; !slices.Equal(got, want) {
		t.Errorf("played with %v, want %v", got, want)
	}
}

// What is not complete, however long it may take, is a failure.
func TestCompleteFails(t *testing.T) {
	if os.Getenv("TEST_NEVER_COMPLETE") != "" {
		Complete(t, time.Second, func(string) bool { return false })
		return
	}
	again := exec.Command(os.Args[0], "-test.run=^TestCompleteFails$")
	again.Env = append(os.Environ(), "TEST_NEVER_COMPLETE=1")
	if out, err := again.CombinedOutput(); err == nil {
		t.Errorf("it passes: %s", out)
	}
}
