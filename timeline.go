package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init"
	"github.com/finite-init/finite/signals"
)

// maxReport bounds what is read as a report.
const maxReport = 8 << 20

// printTimeline draws the report of a file, or of standard input where that is called "-".
func printTimeline(path string, env []string, source *signals.Source) int {
	var text []byte
	var err error
	read := make(chan struct{})
	go func() {
		defer close(read)
		text, err = readReport(path)
	}()
	for reading := true; reading; {
		select {
		case <-read:
			reading = false
		case sig := <-source.C: // which were caught, as for every run
			if signals.IsStop(sig.Number) {
				return 128 + int(sig.Number)
			}
		}
	}
	var drawn string
	if err == nil {
		drawn, err = pid1.Timeline(text, timelineStyle(env))
	}
	if err != nil {
		return fail(optionError("--timeline", path, err.Error()))
	}
	return printOut(drawn)
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

// timelineStyle is what standard output can show: a terminal is as wide as it says, and has colours unless NO_COLOR is set (no-color.org).
func timelineStyle(env []string) pid1.TimelineStyle {
	style := pid1.TimelineStyle{Width: 80}
	size, err := unix.IoctlGetWinsize(unix.Stdout, unix.TIOCGWINSZ)
	if err == nil {
		noColor, _ := lookupEnv(env, "NO_COLOR")
		term, _ := lookupEnv(env, "TERM")
		style.Color = noColor == "" && term != "dumb"
	}
	columns, _ := lookupEnv(env, "COLUMNS")
	switch n, bad := strconv.Atoi(columns); {
	case err == nil && size.Col > 0:
		style.Width = int(size.Col)
	case bad == nil && n > 0:
		style.Width = min(n, 1000)
	}
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first that is set counts (locale(7))
		if value, _ := lookupEnv(env, name); value != "" {
			upper := strings.ToUpper(value)
			style.Blocks = strings.Contains(upper, "UTF-8") || strings.Contains(upper, "UTF8")
			break
		}
	}
	return style
}
