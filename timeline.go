package main

import (
	"fmt"
	"io"
	"os"
	"strconv"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/signals"
)

// maxReport bounds what is read as a report.
const maxReport = 8 << 20

// printTimeline draws the report of a file, or of standard input where that is called "-".
func printTimeline(path string, env []string, source *signals.Source) int {
	endOnStop(source)
	pid1.Reserved()
	text, err := readReport(path)
	drawn := ""
	if err == nil {
		style := outputStyle(env)
		if columns, _ := lookupEnv(env, "COLUMNS"); style.Width == 0 {
			style.Width = 80
			if n, err := strconv.Atoi(columns); err == nil && n > 0 {
				style.Width = min(n, 1000)
			}
		}
		drawn, err = record.Timeline(text, style)
	}
	if err != nil {
		return fail(optionError("--timeline", path, err.Error()))
	}
	return page([]byte(drawn))
}

func readReport(path string) ([]byte, error) {
	file := os.Stdin
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
	}
	text, err := io.ReadAll(io.LimitReader(file, maxReport+1))
	if err == nil && len(text) > maxReport {
		err = fmt.Errorf("longer than %d bytes", maxReport)
	}
	return text, err
}
