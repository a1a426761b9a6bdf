// Command testreport reads what `go test -json` says and prints what a reader wants of it: the line
// of each package, everything about a test that failed, and nothing about one that passed.
//
//	go test -json ./... | testreport [-progress] [-skips FILE]
//
// It appends one line to FILE for each test that was skipped: the test, a tab, and the reason. The
// exit status is 1 if anything failed.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	progress := flag.Bool("progress", false, "print a line for each top-level test as it ends")
	skips := flag.String("skips", "", "append skipped tests to this `file`")
	flag.Parse()
	failed, err := run(os.Stdin, os.Stdout, *progress, *skips)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if failed {
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, progress bool, skipsFile string) (failed bool, err error) {
	r := &report{out: out, progress: progress, tests: map[testID]*record{}}
	if err := r.read(bufio.NewReader(in)); err != nil {
		return false, err
	}
	if skipsFile == "" || len(r.skips) == 0 {
		return r.failed, nil
	}
	f, err := os.OpenFile(skipsFile, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return false, err
	}
	for _, s := range r.skips {
		if _, err := fmt.Fprintf(f, "%s\t%s\n", s.test, s.reason); err != nil {
			_ = f.Close()
			return false, err
		}
	}
	return r.failed, f.Close()
}
