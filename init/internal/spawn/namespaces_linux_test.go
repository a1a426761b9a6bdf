//go:build amd64 || arm64

package spawn

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/usage"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
)

// Everybody has a place: the caller, and as many others as there are in the range; each outside ID
// is used once.
func TestIDMap(t *testing.T) {
	for name, tt := range map[string]struct {
		root             bool
		id, start, count int
		want             string
	}{
		"root":                      {true, 1000, 100000, 65536, "0 1000 1 1 100000 65536"},
		"root, one more":            {true, 1000, 100000, 1, "0 1000 1 1 100000 1"},
		"itself":                    {false, 1000, 100000, 65536, "1000 1000 1 0 100000 1000 1001 101000 64536"},
		"itself, above the range":   {false, 100, 5000, 10, "100 100 1 0 5000 10"},
		"itself, at its end":        {false, 10, 5000, 10, "10 10 1 0 5000 10"},
		"itself, one is above":      {false, 9, 5000, 10, "9 9 1 0 5000 9 10 5009 1"},
		"itself, nobody":            {false, 65534, 100000, 65536, "65534 65534 1 0 100000 65534 65535 165534 2"},
		"the group of root, itself": {false, 0, 5000, 10, "0 0 1 1 5000 10"},
	} {
		if got := strings.Join(idMap(tt.root, tt.id, tt.start, tt.count), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestSubordinate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	for name, tt := range map[string]struct {
		text         string
		uid          int
		start, count int
	}{
		"by number":              {"1000:100000:65536\n", 1000, 100000, 65536},
		"by name":                {"daemon:100000:65536\n", 1, 100000, 65536},
		"no newline":             {"1000:100000:65536", 1000, 100000, 65536},
		"the first":              {"7:1:2\n1000:100000:10\n1000:200000:20\n", 1000, 100000, 10},
		"not this one":           {"100:1:2\n10000:3:4\n", 1000, 0, 0},
		"nobody has this name":   {":100000:65536\n", 4000000, 0, 0},
		"a name like a number":   {"1000:100000:65536\n", 100, 0, 0},
		"a bad one, then a good": {"1000:x:1\n1000:1:x\n1000:1\n1000:1:2:3\n1000:-5:5\n1000:5:-5\n1000:0:10\n1000:5:0\n1000:5:6\n", 1000, 5, 6},
		"bytes":                  {"\x00\xff:\n\n\n::\n", 1000, 0, 0},
		"empty":                  {"", 1000, 0, 0},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if start, count := subordinate(file, tt.uid); start != tt.start || count != tt.count {
			t.Errorf("%s: %d, %d; want %d, %d", name, start, count, tt.start, tt.count)
		}
	}
	if start, count := subordinate(file+".none", 1000); start != 0 || count != 0 {
		t.Errorf("a file that is not there: %d, %d", start, count)
	}
}

func TestSingleMap(t *testing.T) {
	if got := singleMap(false, 1000); got != "1000 1000 1" {
		t.Error(got)
	}
	if got := singleMap(true, 1000); got != "0 1000 1" {
		t.Error(got)
	}
}

// What is opened is closed again, once.
func TestNamespacesAreClosed(t *testing.T) {
	before := openFiles(t)
	join := append(openOwn(t, "net"), openOwn(t, "net")...)
	n, err := NewNamespaces(Wanted{Unshare: nsutil.PIDNamespace, Join: join})
	if err != nil || len(n.Join) != 1 {
		t.Fatalf("%+v, %v", n, err)
	}
	n.Close()
	n.Close() // as well
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// What cannot be together names its field, and leaves nothing open.
func TestNamespacesRefused(t *testing.T) {
	before := openFiles(t)
	for field, w := range map[string]Wanted{
		"Join":    {Join: openOwn(t, "net", "time")},
		"Unshare": {Join: openOwn(t, "net", "pid"), Unshare: nsutil.PIDNamespace},
	} {
		_, err := NewNamespaces(w)
		var bad *usage.Error
		if !errors.As(err, &bad) || bad.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// A plan has room for all that namespaces may need to be made.
func TestNamespacesFitIntoAPlan(t *testing.T) {
	all := nsutil.UserNamespace | nsutil.CgroupNamespace | nsutil.IPCNamespace |
		nsutil.UTSNamespace | nsutil.NetworkNamespace |
		nsutil.PIDNamespace | nsutil.TimeNamespace | nsutil.MountNamespace
	n := &Namespaces{Wanted: Wanted{Unshare: all, Hostname: "name"}, proc: true}
	for len(n.Join) == 0 || n.calls() <= maxCalls {
		p := &CallList{plan: &keeper.Plan{}, namespaces: n}
		n.enter(p) // panics otherwise
		if count := int(p.plan.Count); len(p.steps) != count || count > n.calls() {
			t.Errorf("%d steps of %d calls, %d expected", len(p.steps), count, n.calls())
		}
		n.Join = append(n.Join, nsutil.NamespaceFile{Kind: nsutil.UserNamespace}) // several, one after the other
	}
}

// openOwn opens namespaces of this process.
func openOwn(t *testing.T, names ...string) (files []nsutil.NamespaceFile) {
	t.Helper()
	for _, name := range names {
		fd, err := unix.Open("/proc/self/ns/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]nsutil.Namespaces{
			"net":  nsutil.NetworkNamespace,
			"time": nsutil.TimeNamespace,
			"pid":  nsutil.PIDNamespace,
		}
		files = append(files, nsutil.NamespaceFile{FD: fd, Kind: kinds[name]})
	}
	return files
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
