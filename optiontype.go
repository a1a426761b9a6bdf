package main

import (
	"errors"
	"strconv"
	"strings"
)

// option is one row of the table of options. Each has an environment variable, FINITE_ and the long
// name in capitals, unless it makes no sense there.
type option struct {
	long   string
	short  rune
	arg    string // what its value is called; empty: a switch
	noEnv  bool
	rivals []string // other options that say the same thing in another way
	list   bool     // may be given several times; in the environment, values are separated by commas
	// field is the field of pid1.Config that it sets; empty: none, or one that another option is
	// named for.
	field string
	help  string
	set   func(*options, string) error
	turn  func(*options, bool) // in the place of set, for a switch
}

// apply sets the option. A switch is on where it is named, and what its variable says in the
// environment.
func (o *option) apply(to *options, value string) error {
	switch {
	case o.turn == nil:
		return o.set(to, value)
	case value == "":
		o.turn(to, true)
		return nil
	}
	b, err := strconv.ParseBool(value)
	if err != nil {
		return errors.New("must be 1, 0, true or false")
	}
	o.turn(to, b)
	return nil
}

func (o *option) env() string {
	return "FINITE_" + strings.ToUpper(strings.ReplaceAll(o.long, "-", "_"))
}
