// Command finite runs a command and makes it end: an init for containers, and a subreaper
// everywhere else.
//
// This package is the command line alone: it parses, builds a [pid1.Config], calls [pid1.Run] and
// exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/signals"
)

// parentPID is read as early as Go allows, so that --parent-death can tell that the parent has
// ended since.
var parentPID = unix.Getppid()

func main() {
	// An init spends its time in the kernel: one goroutine that runs Go code at a time is enough,
	// whatever the machine has. It bounds the number of threads, and keeps the runtime from reading
	// cgroup files to follow a CPU limit. (Package keeper has seen to it already in a supervisor.)
	runtime.GOMAXPROCS(1)
	if link := keeper.Attach(); link != nil {
		supervise(link, os.Args, keeper.Environ())
		os.Exit(0)
	}
	pid1.Reserve()
	os.Exit(run(os.Args, keeper.Environ()))
}

// run does what the arguments say and returns the exit status.
func run(args, env []string) int {
	// Never closed: until the very end a signal is forwarded or counted, and then the process is
	// gone.
	source := signals.Listen()
	opts, err := parseOptions(args, env)
	if err != nil {
		return fail(err)
	}
	switch {
	case opts.help:
		return printOut(helpText())
	case opts.version:
		return printOut(versionText(opts.verbosity > 0, keeper.Entered()))
	case opts.inspect.on:
		return inspectProcesses(opts, env, source)
	}
	if opts.timeline != "" {
		return printTimeline(opts.timeline, env, source)
	}
	cfg := opts.config
	cfg.Env = withoutOptions(env)
	cfg.ParentPID = parentPID
	cfg.Source = source
	cfg.Log = newLogger(opts, stderr{})
	result, err := pid1.Run(context.Background(), cfg)
	if err != nil {
		return fail(opts.describe(err))
	}
	return result.ExitStatus
}

// fail prints one line on stderr and returns the status for finite's own failure.
func fail(err error) int {
	_ = writeSoon(stderrFD, []byte("finite: "+text.Printable(err.Error())+"\n"))
	return ending.StatusFailure
}

// describe names options, or their variables, instead of the fields that they set.
func (o *options) describe(err error) error {
	var usage *pid1.UsageError
	if !errors.As(err, &usage) {
		return err
	}
	own, variable, why := usage.Field, "", usage.Why
	for i := range optionTable {
		row := &optionTable[i]
		if row.field == "" {
			continue
		}
		why = replaceWord(why, "Config."+row.field, "--"+row.long)
		if row.field == usage.Field {
			own, variable = "--"+row.long, o.variables[row.long]
			if variable != "" {
				own = row.env()
			}
		}
	}
	if variable != "" {
		return fmt.Errorf("%s=%s: %s", own, variable, why)
	}
	return optionError(own, usage.Value, why)
}

// replaceWord replaces a word that is no part of a longer one.
func replaceWord(in, word, by string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(in, word)
		b.WriteString(before)
		switch {
		case !found:
			return b.String()
		case after != "" && unicode.IsLetter(rune(after[0])):
			b.WriteString(word)
		default:
			b.WriteString(by)
		}
		in = after
	}
}

// printOut writes to stdout; a reader that is gone is no failure.
func printOut(s string) int {
	if err := writeSoon(unix.Stdout, []byte(s)); err != nil && !errors.Is(err, unix.EPIPE) {
		return fail(err)
	}
	return 0
}
