package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// event is a line of `go test -json` (go doc test2json; go help buildjson).
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

type testID struct{ pkg, test string }

// record is what is kept of a test until it has ended.
type record struct {
	output []string
}

type skip struct{ test, reason string }

// report prints while it reads.
type report struct {
	out      io.Writer
	progress bool

	tests  map[testID]*record // under way; a test with an empty name is the package itself
	order  []testID
	skips  []skip
	failed bool
}

// read handles every line of in. A line that is no event is printed as it is: it is from the go
// command or from the outside.
func (r *report) read(in *bufio.Reader) error {
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if line[0] == '{' && json.Unmarshal(line, &e) == nil && e.Action != "" {
				r.handle(e)
			} else {
				r.print(string(bytes.TrimRight(line, "\n")) + "\n")
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			r.unfinished("")
			return nil
		case err != nil:
			return err
		}
	}
}

func (r *report) handle(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		r.output(id, e.Output)
	case "build-output":
		r.print(e.Output)
	case "build-fail":
		r.failed = true
	case "pass":
		r.ended(id, e, "PASS")
		delete(r.tests, id)
	case "skip":
		if e.Test != "" {
			reason := reasonOf(r.outputOf(id))
			r.skips = append(r.skips, skip{path.Base(e.Package) + "." + e.Test, reason})
			r.ended(id, e, "SKIP")
		}
		delete(r.tests, id)
	case "fail":
		r.failed = true
		if e.Test == "" {
			r.unfinished(e.Package) // a panic or a time limit ends a package with tests still under way
		} else {
			r.ended(id, e, "FAIL")
			r.print(indented(r.outputOf(id)))
		}
		delete(r.tests, id)
	}
}

// output keeps a test's lines for the case that it fails, and prints a package's result at once.
func (r *report) output(id testID, text string) {
	if id.test == "" {
		if isResult(text) {
			r.print(text)
			return
		}
		if text == "PASS\n" || text == "FAIL\n" {
			return
		}
	}
	rec := r.tests[id]
	if rec == nil {
		rec = &record{}
		r.tests[id] = rec
		r.order = append(r.order, id)
	}
	rec.output = append(rec.output, text)
}

// isResult tells a package's own line, "ok", "FAIL" or "?", from what its tests print.
func isResult(text string) bool {
	for _, prefix := range []string{"ok  \t", "FAIL\t", "?   \t", "---"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

func (r *report) outputOf(id testID) []string {
	if rec := r.tests[id]; rec != nil {
		return rec.output
	}
	return nil
}

// ended prints one line for a test that failed, and with progress for every one that is not part of
// another.
func (r *report) ended(id testID, e event, result string) {
	top := id.test != "" && !strings.Contains(id.test, "/")
	if result == "FAIL" || r.progress && top {
		r.print(fmt.Sprintf("--- %s: %s (%.2fs)\n", result, id.test, e.Elapsed))
	}
}

// unfinished prints what is known of the tests of pkg that have not ended, of all packages if pkg
// is empty.
func (r *report) unfinished(pkg string) {
	for _, id := range r.order {
		rec := r.tests[id]
		if rec == nil || (pkg != "" && id.pkg != pkg) {
			continue
		}
		delete(r.tests, id)
		if text := indented(rec.output); text != "" {
			if id.test != "" {
				r.print("--- not finished: " + id.test + "\n")
			}
			r.print(text)
		}
	}
}

func (r *report) print(text string) { _, _ = io.WriteString(r.out, text) }

// isFrame tells the lines by which go test frames a test's own output.
func isFrame(line string) bool {
	line = strings.TrimLeft(line, " ")
	for _, prefix := range []string{"=== ", "--- PASS: ", "--- FAIL: ", "--- SKIP: "} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func indented(output []string) string {
	var b strings.Builder
	for _, line := range output {
		if !isFrame(line) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// reasonOf returns the last thing that a skipped test said, without the position in the file, on
// one line.
func reasonOf(output []string) string {
	var reason []string
	for _, line := range strings.Split(strings.TrimSpace(indented(output)), "\n") {
		text := strings.TrimSpace(line)
		position, rest, found := strings.Cut(text, ": ")
		if found && strings.Contains(position, ".go:") && !strings.Contains(position, " ") {
			reason, text = nil, rest
		}
		if text != "" {
			reason = append(reason, text)
		}
	}
	if len(reason) == 0 {
		return "no reason given"
	}
	return strings.ReplaceAll(strings.Join(reason, " "), "\t", " ")
}
