package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/finite-init/finite/internal/text"
)

// Stamped in by the Makefile.
var version, commit string

func versionText(verbose, hasKeeper bool) string {
	v, c := version, commit
	if info, ok := debug.ReadBuildInfo(); ok && v == "" {
		v = info.Main.Version // go install
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				c = s.Value
			}
		}
	}
	if v == "" {
		v = "(devel)"
	}
	if c == "" {
		c = "unknown"
	}
	text := fmt.Sprintf("finite %s (commit %s)\n", v, c)
	if verbose {
		text += fmt.Sprintf("%s %s/%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
		if hasKeeper {
			text += "signals: signalfd\n" +
				"processes: a keeper without a Go runtime, and a supervisor where there is something to decide\n"
		} else {
			text += "signals: os/signal\nprocesses: one, with a Go runtime\n"
		}
	}
	return text
}

const helpHead = `usage: finite [options] [--] command [argument...]

Runs the command, forwards signals to it, reaps what it orphans, and returns
when nothing of it is left. As PID 1 it is the init of its PID namespace;
anywhere else it is a child subreaper.

`

const helpTail = `
D is a duration: 90 (seconds), 1.5s, 300ms, 1h30m, 2d. SIG is a signal: TERM,
SIGTERM, 15, RTMIN+3.

Every option but --timeline, --inspect, --json, --version and --help can be
given in the environment: --stop-grace as FINITE_STOP_GRACE. The option wins; a
variable that is empty counts as not set; several values are separated by
commas. The command does not see these variables.

exit status: the command's own; 128+n if signal n ended it; 124 if the deadline
did; 125 if finite itself failed or was used wrongly; 126 if the command cannot
be executed; 127 if it was not found.
`

// The columns of the help: those of the options, and all.
const (
	optionColumns = 26
	helpColumns   = 79
)

func helpText() string {
	var b strings.Builder
	b.WriteString(helpHead)
	for i := range optionTable {
		o := &optionTable[i]
		name := "      --" + o.long
		if o.short != 0 {
			name = "  -" + string(o.short) + ", --" + o.long
		}
		if o.arg != "" {
			name += " " + o.arg
		}
		for rest := o.help; rest != ""; name = "" {
			var part string
			part, rest = text.Split(rest, helpColumns-optionColumns)
			fmt.Fprintf(&b, "%-*s%s\n", optionColumns, name, part)
		}
	}
	b.WriteString(helpTail)
	return b.String()
}
