package main

import (
	"bufio"
	"slices"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const pkg = `"Package":"example.org/m/p"`
	for _, row := range []struct {
		name     string
		in       []string
		progress bool
		out      string
		skips    []skip
		failed   bool
	}{
		{
			name: "passed: the package's line alone",
			in: []string{
				`{"Action":"start",` + pkg + `}`,
				`{"Action":"run",` + pkg + `,"Test":"TestA"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"=== RUN   TestA\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"chatter\n"}`,
				`{"Action":"pass",` + pkg + `,"Test":"TestA","Elapsed":1.5}`,
				`{"Action":"output",` + pkg + `,"Output":"PASS\n"}`,
				`{"Action":"output",` + pkg + `,"Output":"ok  \texample.org/m/p\t1.6s\n"}`,
				`{"Action":"pass",` + pkg + `,"Elapsed":1.6}`,
			},
			out: "ok  \texample.org/m/p\t1.6s\n",
		},
		{
			name:     "with progress: the tests, not their parts",
			progress: true,
			in: []string{
				`{"Action":"pass",` + pkg + `,"Test":"TestA/part","Elapsed":1}`,
				`{"Action":"pass",` + pkg + `,"Test":"TestA","Elapsed":1.5}`,
			},
			out: "--- PASS: TestA (1.50s)\n",
		},
		{
			name: "skipped: the reason, in one line",
			in: []string{
				`{"Action":"output",` + pkg + `,"Test":"TestA/b","Output":"=== RUN   TestA/b\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA/b","Output":"    a_test.go:3: looking\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA/b","Output":"    a_test.go:7: no dockerd: exec: not found\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA/b","Output":"        in PATH\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA/b","Output":"    --- SKIP: TestA/b (0.00s)\n"}`,
				`{"Action":"skip",` + pkg + `,"Test":"TestA/b"}`,
				`{"Action":"skip",` + pkg + `,"Test":"TestC"}`,
			},
			skips: []skip{{"p.TestA/b", "no dockerd: exec: not found in PATH"}, {"p.TestC", "no reason given"}},
		},
		{
			name: "a package without tests is nothing that was skipped",
			in: []string{
				`{"Action":"output",` + pkg + `,"Output":"?   \texample.org/m/p\t[no test files]\n"}`,
				`{"Action":"skip",` + pkg + `}`,
			},
			out: "?   \texample.org/m/p\t[no test files]\n",
		},
		{
			name: "failed: all that the test said",
			in: []string{
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"=== RUN   TestA\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"    a_test.go:3: is 1, want 2\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"--- FAIL: TestA (0.10s)\n"}`,
				`{"Action":"fail",` + pkg + `,"Test":"TestA","Elapsed":0.1}`,
				`{"Action":"output",` + pkg + `,"Output":"FAIL\n"}`,
				`{"Action":"output",` + pkg + `,"Output":"FAIL\texample.org/m/p\t0.1s\n"}`,
				`{"Action":"fail",` + pkg + `}`,
			},
			out:    "--- FAIL: TestA (0.10s)\n    a_test.go:3: is 1, want 2\nFAIL\texample.org/m/p\t0.1s\n",
			failed: true,
		},
		{
			name: "a panic, and what was under way",
			in: []string{
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"=== RUN   TestA\n"}`,
				`{"Action":"output",` + pkg + `,"Test":"TestA","Output":"panic: oh\n"}`,
				`{"Action":"output",` + pkg + `,"Output":"exit status 2\n"}`,
				`{"Action":"fail",` + pkg + `}`,
			},
			out:    "--- not finished: TestA\npanic: oh\nexit status 2\n",
			failed: true,
		},
		{
			name: "what does not compile, and a line that is no event",
			in: []string{
				`go: downloading example.org/x v1.0.0`,
				`{"ImportPath":"example.org/m/p","Action":"build-output","Output":"p.go:1:1: syntax error\n"}`,
				`{"ImportPath":"example.org/m/p","Action":"build-fail"}`,
			},
			out:    "go: downloading example.org/x v1.0.0\np.go:1:1: syntax error\n",
			failed: true,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out strings.Builder
			r := &report{out: &out, progress: row.progress, tests: map[testID]*record{}}
			if err := r.read(bufio.NewReader(strings.NewReader(strings.Join(row.in, "\n") + "\n"))); err != nil {
				t.Fatal(err)
			}
			if out.String() != row.out {
				t.Errorf("printed\n%s\nwant\n%s", out.String(), row.out)
			}
			if !slices.Equal(r.skips, row.skips) {
				t.Errorf("skips: %v, want %v", r.skips, row.skips)
			}
			if r.failed != row.failed {
				t.Errorf("failed: %v, want %v", r.failed, row.failed)
			}
		})
	}
}
