package inspect

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStack(t *testing.T) {
	got := parseStack([]byte("[<0>] request_wait_answer+0x1a/0x2b\n[<0>] fuse_read\n\n"))
	if want := []string{"request_wait_answer+0x1a/0x2b", "fuse_read"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct {
		s       Survivor
		refused bool
		want    string
	}{
		{Survivor{State: 'Z', Tracer: 5}, false, "its tracer gdb (pid 5)"},
		{Survivor{State: 'Z'}, false, "its parent (pid 3) has not reaped it"},
		{Survivor{State: 'D', WChan: "request_wait_answer"}, false, "in request_wait_answer"},
		{Survivor{State: 'D'}, false, "uninterruptible sleep"},
		{Survivor{State: 'S', UID: 12}, true, "belongs to uid 12"},
		{Survivor{State: 't', Tracer: 5}, false, "held by its tracer gdb"},
		{Survivor{State: 'R'}, false, "still ending"},
	} {
		if got := explain(tt.s, &Process{PPID: 3}, "gdb", tt.refused); !strings.Contains(got, tt.want) {
			t.Errorf("explain(%+v) = %q, want %q in it", tt.s, got, tt.want)
		}
	}
}

// Who is left is named, whatever hangs, with the reason as far as it is known.
func TestFindSurvivors(t *testing.T) {
	f := newFixture(t)
	self := os.Getpid()
	f.add(self, 1, "self", true, 11, 10, 12)
	f.add(10, self, "stuck", true)
	f.add(11, self, "other", true)
	f.add(12, self, "third", true)
	for _, name := range []string{"10/wchan", "10/stat"} {
		path := filepath.Join(f.root, name)
		_ = os.Remove(path)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status := filepath.Join(f.root, "10", "status")
	text, err := os.ReadFile(status)
	if err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(status, []byte(strings.Replace(string(text), "S (sleeping)", "D (disk sleep)", 1)), 0o644)
	_ = os.WriteFile(filepath.Join(f.root, "11", "stack"), []byte("[<0>] do_wait+0x1/0x2\n"), 0o644)
	c := &collector{proc: procAt(f.root), root: self, self: self, stacks: true}
	all, err := findSurvivors(c, 50*time.Millisecond)
	if err != nil || len(all) != 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	runtime.GC() // the reader that hangs keeps nobody
	for i, want := range []struct{ comm, why string }{
		{"stuck", "in uninterruptible sleep in the kernel"},
		{"other", "still ending"},
		{"third", "still ending"},
	} {
		s := all[i]
		// A number of the fixture may be a process of another user's.
		if s.PID != 10+i || s.Comm != want.comm || s.Why != want.why && !strings.HasPrefix(s.Why, "belongs to uid") {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
	if len(all[1].Stack) != 1 {
		t.Errorf("the stack: %v", all[1].Stack)
	}
	w, err := os.OpenFile(filepath.Join(f.root, "10", "wchan"), os.O_WRONLY, 0) // the reader goes on
	if err == nil {
		_ = w.Close()
		w, err = os.OpenFile(filepath.Join(f.root, "10", "stat"), os.O_RDWR, 0)
	}
	if err == nil {
		_ = w.Close()
	}
}
