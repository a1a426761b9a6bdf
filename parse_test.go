package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pborman/getopt/v2"
)

// libraryValue has the library set an option of the table.
type libraryValue struct {
	option *option
	to     *options
	bad    *error
}

func (v libraryValue) String() string { return "" }

func (v libraryValue) Set(value string, _ getopt.Option) error {
	err := v.option.apply(v.to, value)
	if err != nil && *v.bad == nil {
		*v.bad = optionError("--"+v.option.long, value, err.Error())
	}
	return err
}

// parseByLibrary is parseArgs as the library does it.
func parseByLibrary(o *options, args []string) (seen []bool, operands []string, err error) {
	set := getopt.New()
	var bad error
	given := make([]getopt.Option, len(optionTable))
	for i := range optionTable {
		row := &optionTable[i]
		given[i] = set.FlagLong(libraryValue{row, o, &bad}, row.long, row.short)
		if row.arg == "" {
			given[i].SetFlag()
		}
	}
	if err := set.Getopt(args, nil); bad != nil {
		return nil, nil, bad
	} else if err != nil {
		return nil, nil, fmt.Errorf("%w (see finite --help)", err)
	}
	for _, g := range given {
		seen = append(seen, g.Seen())
	}
	return seen, set.Args(), nil
}

// What the arguments mean is what a getopt library makes of them.
func FuzzParseArgs(f *testing.F) {
	for _, line := range []string{
		"", "-- cmd", "cmd -t 5", "-t 5 -k1 -- x", "--timeout=5 --grace 1s x -v", "-vv x", "-vt5 x", "-t",
		"--timeout",
		"--nope", "-Z", "-v- x", "- x", "-v - x", "--v", "--q=false x", "--t=5 x", "--t 5 x", "--",
		"-t= x", "--timeout= x",
		"--help", "-h x", "--expect 3 -e 4,5 x", "-t x y", "--version=1", "--=5", "--= x", "-é x",
		"--é x", "-\xff x",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := append([]string{"finite"}, strings.Split(line, " ")...)
		ours, theirs := &options{}, &options{}
		seen, operands, err := ours.parseArgs(args)
		seen2, operands2, err2 := parseByLibrary(theirs, args)
		if fmt.Sprint(err) != fmt.Sprint(err2) || !slices.Equal(seen, seen2) || !slices.Equal(operands, operands2) {
			t.Fatalf("%q:\n%v %q %v, the library:\n%v %q %v", args, seen, operands, err, seen2, operands2, err2)
		}
		if err == nil && !reflect.DeepEqual(ours, theirs) {
			t.Fatalf("%q: %+v, the library: %+v", args, ours, theirs)
		}
	})
}
