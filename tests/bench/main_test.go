package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The short form makes every figure, every table and every picture.
func TestShort(t *testing.T) {
	finite := takeVariable("FINITE_BIN")
	if finite == "" {
		finite = "../../bin/finite"
	}
	if _, err := os.Stat(finite); err != nil {
		missing(t, "no binary: make build")
	}
	if os.Geteuid() != 0 {
		missing(t, "some of it needs root")
	}
	for _, name := range []string{"tini-static", "dumb-init", "catatonit", "hyperfine", "timeout", "perl"} {
		if _, err := exec.LookPath(name); err != nil {
			missing(t, "%s is not installed", name)
		}
	}
	dir := t.TempDir()
	if err := run(t.Context(), finite, finite, true, "", dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Versions map[string]string
		Sections []struct {
			ID   string
			Rows []struct{ Name string }
		}
		Ceilings []struct {
			What  string
			Value *float64
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, s := range got.Sections {
		ids[s.ID] = len(s.Rows) > 0
	}
	for _, id := range []string{
		"start", "start-pid1", "start-deadline", "start-go", "start-namespaces", "hyperfine",
		"forwarding", "forwarding-one", "throughput", "idle", "memory", "orphans", "deadline", "kill",
		"left", "size",
	} {
		if !ids[id] {
			t.Errorf("no figures for %s", id)
		}
	}
	if len(got.Versions) != 5 || len(got.Ceilings) == 0 {
		t.Errorf("versions %v, ceilings %v", got.Versions, got.Ceilings)
	}
	for _, c := range got.Ceilings {
		if c.Value == nil && !strings.HasPrefix(c.What, "3000 ") { // there are so many in the long form alone
			t.Errorf("%s: no figure", c.What)
		}
	}
	for _, name := range []string{"tables.md", "start.svg", "start-dark.svg"} {
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() < 500 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// missing skips a test for want of something, or fails it where nothing may be skipped.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if required == "all" {
		t.Fatalf("required: "+format, args...)
	}
	t.Skipf(format, args...)
}

func TestNumber(t *testing.T) {
	for n, want := range map[number]string{
		0: "0", 7: "7", 1200: "1200", 1.684: "1.68", 0.0123456: "0.012", 29.61: "29.6", 12345.6: "12346",
	} {
		if got := n.String(); got != want {
			t.Errorf("%v is written %q, want %q", float64(n), got, want)
		}
	}
	if b, err := json.Marshal([]number{none, 1.5}); err != nil || string(b) != "[null,1.5]" {
		t.Errorf("%s, %v", b, err)
	}
}

// required is all where nothing may be skipped. A variable that begins with FINITE_ is an option to
// finite, so none of the test's own stays in the environment.
var required = takeVariable("FINITE_TEST_REQUIRE")

func takeVariable(name string) string {
	value := os.Getenv(name)
	_ = os.Unsetenv(name)
	return value
}
