package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/signals"
)

// inspection is what --inspect asks for.
type inspection struct {
	on   bool
	pid  int // 0: all processes
	json bool
}

// setPID sets the process that is asked for.
func (i *inspection) setPID(s string) error {
	pid, err := strconv.ParseUint(s, 10, 31)
	if err != nil || pid == 0 {
		return errors.New("not a PID")
	}
	if i.pid != 0 {
		return fmt.Errorf("one PID at most, and %d is given already", i.pid)
	}
	i.pid = int(pid)
	return nil
}

// refuseBeside refuses options that say how to run a command beside one with which none is run, but
// for some.
func (o *options) refuseBeside(name string, seen []bool, some ...string) error {
	for i := range optionTable {
		if long := optionTable[i].long; seen[i] && long != name && !slices.Contains(some, long) {
			return fmt.Errorf("--%s: makes no sense with --%s", long, name)
		}
	}
	return nil
}

// finishInspect reads what follows the first word that is no option, and checks that there is no
// option that says how to run a command.
func (o *options) finishInspect(operands []string, seen []bool) error {
	if err := o.refuseBeside("inspect", seen, "json", "verbose"); err != nil {
		return err
	}
	for _, word := range operands {
		switch word { // options end at the first operand, but this is where they are typed
		case "--json":
			o.inspect.json = true
			continue
		case "-v", "--verbose":
			o.verbosity = 1
			continue
		}
		if err := o.inspect.setPID(word); err != nil {
			return optionError("--inspect", word, err.Error())
		}
	}
	return nil
}

// inspectProcesses says what it is asked, and returns the exit status. A signal that asks for a
// stop ends it.
func inspectProcesses(o *options, env []string, source *signals.Source) int {
	endOnStop(source)
	pid1.Reserved()
	result, err := inspect.Inspect(o.inspect.pid)
	if err != nil {
		value := ""
		if o.inspect.pid != 0 {
			value = strconv.Itoa(o.inspect.pid)
		}
		return fail(optionError("--inspect", value, err.Error()))
	}
	text, err := result.JSON()
	if !o.inspect.json {
		style := outputStyle(env)
		style.Details = o.verbosity > 0
		text = []byte(result.Text(style))
	}
	if err != nil {
		return fail(err)
	}
	return page(text)
}

// endOnStop has a signal that asks for a stop end this process, which runs no command.
func endOnStop(source *signals.Source) {
	go func() {
		for sig := range source.C {
			if signals.IsStop(sig.Number) {
				os.Exit(128 + int(sig.Number))
			}
		}
	}()
}

// outputStyle is what standard output can show.
func outputStyle(env []string) text.Style {
	return text.StyleFor(unix.Stdout, func(name string) string {
		value, _ := lookupEnv(env, name)
		return value
	})
}

// page writes to standard output, where a pager may take its time, and may go away.
func page(text []byte) int {
	if err := record.WriteAll(unix.Stdout, text, time.Time{}); err != nil && !errors.Is(err, unix.EPIPE) {
		return fail(err)
	}
	return 0
}
