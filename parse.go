package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The options of the command line have the forms of getopt_long(3): -k 5, -k5, -vv, --grace 5,
// --grace=5. They end at "--", which is dropped, and at the first word that is no option. A long
// name is not abbreviated. "--k" is "-k".

// parseArgs sets the options that the arguments name. It returns which rows of the table those are,
// and the words behind them.
func (o *options) parseArgs(args []string) (seen []bool, operands []string, err error) {
	seen = make([]bool, len(optionTable))
	words := args[min(1, len(args)):]
	for len(words) > 0 {
		word := words[0]
		switch {
		case word == "--":
			return seen, words[1:], nil
		case word == "-" || !strings.HasPrefix(word, "-"):
			return seen, words, nil
		}
		words = words[1:]
		if name, ok := strings.CutPrefix(word, "--"); ok {
			words, err = o.takeLong(name, words, seen)
		} else {
			words, err = o.takeShort(word[1:], words, seen)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return seen, nil, nil
}

// takeLong sets the option of a word that began with "--". It returns the words behind its value.
func (o *options) takeLong(word string, words []string, seen []bool) ([]string, error) {
	name, value, has := strings.Cut(word, "=")
	row := slices.IndexFunc(optionTable[:], func(row option) bool { return row.long == name })
	if c, size := utf8.DecodeRuneInString(name); row < 0 && size == len(name) {
		row = shortOption(c)
	}
	if row < 0 {
		return nil, fmt.Errorf("unknown option: --%s (see finite --help)", name)
	}
	if optionTable[row].arg != "" && !has {
		if len(words) == 0 {
			return nil, fmt.Errorf("missing parameter for --%s (see finite --help)", optionTable[row].long)
		}
		value, words = words[0], words[1:]
	}
	return words, o.take(row, value, seen)
}

// takeShort sets the options of a word that began with "-", a letter each, up to the first one with
// a value. It returns the words behind that.
func (o *options) takeShort(letters string, words []string, seen []bool) ([]string, error) {
	for i, c := range letters {
		row := shortOption(c)
		switch {
		case row < 0 && c == '-':
			return nil, fmt.Errorf("unknown option: - (see finite --help)")
		case row < 0:
			return nil, fmt.Errorf("unknown option: -%c (see finite --help)", c)
		case optionTable[row].arg == "":
			if err := o.take(row, "", seen); err != nil {
				return nil, err
			}
			continue
		}
		value := letters[i+utf8.RuneLen(c):]
		if value == "" {
			if len(words) == 0 {
				return nil, fmt.Errorf("missing parameter for -%c (see finite --help)", c)
			}
			value, words = words[0], words[1:]
		}
		return words, o.take(row, value, seen)
	}
	return words, nil
}

func shortOption(c rune) int {
	return slices.IndexFunc(optionTable[:], func(row option) bool { return row.short == c && c != 0 })
}

func (o *options) take(row int, value string, seen []bool) error {
	seen[row] = true
	if err := optionTable[row].apply(o, value); err != nil {
		return optionError("--"+optionTable[row].long, value, err.Error())
	}
	return nil
}
