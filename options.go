package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/finite-init/finite/init/ending"
)

func optionError(name string, value any, why string) error {
	if value == "" {
		return fmt.Errorf("%s: %s", name, why)
	}
	return fmt.Errorf("%s %v: %s", name, value, why)
}

// parseOptions reads the arguments, up to the first that is no option or to "--", and then the
// environment for what they do not say. An error names the option and the value.
func parseOptions(args, env []string) (*options, error) {
	o := &options{logFormat: "text"}
	seen, operands, err := o.parseArgs(args)
	if err != nil {
		return nil, err
	}
	switch {
	case o.help || o.version:
		return o, nil
	case o.timeline != "" && len(operands) > 0:
		return nil, optionError("--timeline", o.timeline, "takes one report, and no command")
	case o.timeline != "":
		return o, o.refuseBeside("timeline", seen)
	case o.inspect.on:
		return o, o.finishInspect(operands, seen)
	}
	if o.inspect.json {
		return nil, errors.New("--json: only with --inspect")
	}
	if !slices.ContainsFunc(env, isOption) {
		return o.finish(operands)
	}
	given := make(map[string]bool) // options that the environment has no say in
	for i := range optionTable {
		if row := &optionTable[i]; seen[i] {
			given[row.long] = true
			for _, rival := range row.rivals {
				given[rival] = true
			}
		}
	}
	for i := range optionTable {
		if row := &optionTable[i]; !row.noEnv && !given[row.long] {
			if err := o.fromEnv(row, env); err != nil {
				return nil, err
			}
		}
	}
	return o.finish(operands)
}

// finish checks what only the whole of the options can say.
func (o *options) finish(operands []string) (*options, error) {
	if o.group {
		if o.forwarded && o.config.Forward != ending.ForwardGroup {
			return nil, fmt.Errorf("--group: contradicts --forward %v", o.config.Forward)
		}
		o.config.Forward = ending.ForwardGroup
	}
	if o.variables["escalate"] != "" {
		o.fitEscalation()
	}
	o.config.Args = operands
	if len(operands) == 0 && !o.config.Pause {
		return nil, errors.New("no command given (see finite --help)")
	}
	return o, nil
}

// fitEscalation leaves those rungs of FINITE_ESCALATE out that would be before the start, before a
// deadline that there is not, or, with --pause, for a command that there is not: the variable holds
// for many runs.
func (o *options) fitEscalation() {
	c := &o.config
	c.Escalate = slices.DeleteFunc(c.Escalate, func(r ending.LadderRung) bool {
		none := c.Timeout == 0 && c.Deadline.IsZero()
		late := c.Timeout > 0 && -r.After >= c.Timeout
		return r.After < 0 && (none || late || c.Pause && r.Signal != 0)
	})
}

// fromEnv sets an option from its variable, if that is there and not empty.
func (o *options) fromEnv(row *option, env []string) error {
	value, ok := lookupEnv(env, row.env())
	if !ok || value == "" {
		return nil
	}
	values := []string{value}
	if row.list {
		values = strings.Split(value, ",")
	}
	for _, v := range values {
		if v = strings.TrimSpace(v); v == "" {
			return fmt.Errorf("%s=%s: empty value", row.env(), value)
		}
		if err := row.apply(o, v); err != nil {
			return fmt.Errorf("%s=%s: %w", row.env(), value, err)
		}
	}
	if o.variables == nil {
		o.variables = make(map[string]string)
	}
	o.variables[row.long] = value
	return nil
}

// lookupEnv returns the value of the last entry for name, which is the one that counts for most
// programs.
func lookupEnv(env []string, name string) (value string, ok bool) {
	for _, kv := range env {
		if v, found := strings.CutPrefix(kv, name+"="); found {
			value, ok = v, true
		}
	}
	return value, ok
}

// isOption reports whether an entry of the environment looks like an option.
func isOption(kv string) bool { return strings.HasPrefix(kv, "FINITE_") }

// withoutOptions returns env without the variables that are options, so that a finite further down
// does not inherit a deadline.
func withoutOptions(env []string) []string {
	if !slices.ContainsFunc(env, isOption) {
		return env
	}
	return slices.DeleteFunc(slices.Clone(env), isOwnVariable)
}

// isOwnVariable reports whether an entry of the environment is an option.
func isOwnVariable(kv string) bool {
	if !isOption(kv) {
		return false
	}
	name, _, _ := strings.Cut(kv, "=")
	return slices.ContainsFunc(optionTable[:], func(o option) bool { return !o.noEnv && o.env() == name })
}
