package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every test that docs/failures.md names is in the file that it links to.
func TestFailuresNameTheirTests(t *testing.T) {
	text, err := os.ReadFile("docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	links := regexp.MustCompile(`\[(Test\w+)\]\(([^)]+)\)`).FindAllStringSubmatch(string(text), -1)
	if len(links) < 11 {
		t.Errorf("%d tests are named", len(links))
	}
	for _, link := range links {
		source, err := os.ReadFile(filepath.Join("docs", link[2]))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(source), "\nfunc "+link[1]+"(t *testing.T)") {
			t.Errorf("%s has no %s", link[2], link[1])
		}
	}
}

// The table of options in the README is that of the code: names, arguments, defaults.
func TestReadmeListsTheOptions(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Options\n")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := make(map[string]string) // of an option, its default
	var written []string            // options as they are written
	word := regexp.MustCompile("`(-[^`]+)`")
	for line := range strings.Lines(table) {
		columns := strings.Split(line, "|")
		if len(columns) < 4 {
			continue
		}
		for _, name := range word.FindAllStringSubmatch(columns[1], -1) {
			rows[name[1]] = strings.TrimSpace(columns[2])
			written = append(written, name[1])
		}
	}
	var options []string
	add := func(name, value string) {
		options = append(options, name)
		if got, there := rows[name]; there && got != value && !(got == "none" && value == "") {
			t.Errorf("%s: the default is %q in the README, and %q in the help", name, got, value)
		}
	}
	byDefault := regexp.MustCompile(`\[([^;\]]*)(;.*)?\]$`)
	for _, o := range optionTable {
		value := ""
		if m := byDefault.FindStringSubmatch(o.help); m != nil {
			value = m[1]
		}
		switch o.long {
		case "verbose":
			add("-v", value)
			add("-vv", value)
		case "inspect":
			add("--inspect [PID]", value)
		default:
			if o.short != 0 {
				add(fmt.Sprintf("-%c", o.short), value)
			}
			name := "--" + o.long
			if o.arg != "" {
				name += " " + o.arg
			}
			add(name, value)
		}
	}
	slices.Sort(options)
	slices.Sort(written)
	if !slices.Equal(options, written) {
		t.Errorf("the README has\n%q, the code has\n%q", written, options)
	}
}
