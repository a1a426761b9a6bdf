package spawn

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) {
		if err := os.WriteFile(dir+"/"+name, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir+"/a/tool", 0o755); err != nil { // a directory of that name is passed over
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/b", 0o755); err != nil {
		t.Fatal(err)
	}
	write("b/tool", 0o755)
	write("b/plain", 0o644)
	path := []string{"PATH=/no/such:" + dir + "/a:" + dir + "/b"}
	for _, tt := range []struct {
		name string
		env  []string
		want string
		err  error
	}{
		{"tool", path, dir + "/b/tool", nil},
		{"plain", path, "", unix.EACCES},
		{"none", path, "", unix.ENOENT},
		{"", path, "", unix.ENOENT},
		{"./none", path, "./none", nil},
		{"sh", nil, "/usr/bin/sh", nil},
		{"sh", []string{"PATH=/no/such", "PATH=/bin"}, "/bin/sh", nil},
	} {
		if got, err := lookPath(tt.name, tt.env); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("lookPath(%q, %v) = %q, %v; want %q, %v", tt.name, tt.env, got, err, tt.want, tt.err)
		}
	}
}
