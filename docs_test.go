package main

import (
	"os"
	"path/filepath"
	"regexp"
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
