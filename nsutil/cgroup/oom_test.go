package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOOMCounter(t *testing.T) {
	if NewOOMCounter(Own{}) != nil || NewOOMCounter(Own{Unified: "/sys", Memory: "/does-not-exist"}) != nil {
		t.Error("a counter of nothing")
	}
	for name, v1 := range map[string]bool{"memory.events": false, "memory.oom_control": true} {
		dir := t.TempDir()
		file := filepath.Join(dir, name)
		write := func(text string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		own := Own{Memory: dir, MemoryV1: v1}
		write("oom 3\noom_kill_disable 0\nunder_oom 0\n")
		if NewOOMCounter(own) != nil {
			t.Errorf("%s: a counter before Linux 4.13", name)
		}
		write("low 0\nhigh 0\nmax 9\noom 3\noom_kill_disable 1\noom_kill 2\noom_group_kill 4\n")
		c := NewOOMCounter(own)
		if c == nil {
			t.Fatalf("%s: no counter", name)
		}
		defer c.Close()
		if n, err := c.Count(); n != 2 || err != nil {
			t.Errorf("%s: Count: %d, %v", name, n, err)
		}
		write("oom 3\noom_kill 31\n")
		if n, err := c.Count(); n != 31 || err != nil {
			t.Errorf("%s: Count: %d, %v", name, n, err)
		}
		write("oom_kill x\n")
		if n, err := c.Count(); err == nil {
			t.Errorf("%s: Count: %d", name, n)
		}
		c.Close()
		if n, err := c.Count(); err == nil {
			t.Errorf("%s: Count of a closed one: %d", name, n)
		}
	}
	var none *OOMCounter
	none.Close()
}

// Where the time is too short to count all cgroups of v1, the count is not that of some: what is
// missing at one look would be new at the next.
func TestOOMCounterInTime(t *testing.T) {
	top := t.TempDir()
	for _, name := range []string{"", "a", "b"} {
		dir := filepath.Join(top, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "memory.oom_control"), []byte("oom_kill 2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		first, then time.Duration
		want        int
	}{
		{time.Minute, time.Minute, 6},
		{-1, time.Minute, 2},
	} {
		c := newOOMCounter(Own{Memory: top, MemoryV1: true}, tt.first)
		if c == nil {
			t.Fatalf("in %v: no counter", tt.first)
		}
		c.walk = tt.then
		if n, err := c.Count(); n != tt.want || err != nil {
			t.Errorf("in %v and %v: Count: %d, %v; want %d", tt.first, tt.then, n, err, tt.want)
		}
		c.Close()
	}
	c := newOOMCounter(Own{Memory: top, MemoryV1: true}, time.Minute)
	defer c.Close()
	c.walk = -1
	if err := os.WriteFile(filepath.Join(top, "memory.oom_control"), []byte("oom_kill 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Count(); n != 7 || err != nil {
		t.Errorf("Count of some: %d, %v", n, err)
	}
}

// In v2 the nearest cgroup that counts does, within the mount.
func TestMemoryV2(t *testing.T) {
	top := t.TempDir()
	mkdirs(t, top+"/mount/a/b")
	file := func(dir string) {
		t.Helper()
		if err := os.WriteFile(dir+"/memory.events", []byte("oom_kill 0\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	memory := func(dir string) string { return Own{Unified: dir}.settled(top + "/mount").Memory }
	file(top)
	if got := memory(top + "/mount/a/b"); got != "" {
		t.Errorf("outside the mount: %q", got)
	}
	file(top + "/mount/a")
	for dir, want := range map[string]string{"/mount/a/b": "/mount/a", "/mount/a": "/mount/a"} {
		if got := memory(top + dir); got != top+want {
			t.Errorf("of %s: %q", dir, got)
		}
	}
	if got := (Own{Unified: top + "/mount/a", MemoryV1: true}).settled(top + "/mount"); got.Memory != "" ||
		got.MemoryV1 {
		t.Errorf("with the controller in a v1 hierarchy out of reach: %+v", got)
	}
	if got := (Own{Unified: "/a"}).settled("/"); got.Memory != "" {
		t.Errorf("mounted at /: %+v", got)
	}
}

// The kernel's own counter goes up by one when it kills one process.
func TestOOMCounterKernel(t *testing.T) {
	own, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	if own.Memory == "" || !own.MemoryV1 {
		t.Skip("missing: a memory cgroup of v1")
	}
	dir, err := os.MkdirTemp(own.Memory, "test-")
	if err != nil {
		t.Skipf("missing: a memory cgroup that may be written to: %v", err)
	}
	t.Cleanup(func() { clearAway(t, dir) })
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte("16777216"), 0); err != nil {
		t.Fatal(err)
	}
	c := NewOOMCounter(Own{Memory: dir, MemoryV1: true})
	if c == nil {
		t.Fatal("no counter")
	}
	defer c.Close()
	before, err := c.Count()
	if err != nil || before != 0 {
		t.Errorf("Count: %d, %v", before, err)
	}
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	for want, in := range []string{dir, below} {
		cmd := helper(t, "eater", "CGROUP_PROCS="+filepath.Join(in, "cgroup.procs"))
		if err := cmd.Run(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Errorf("the eater: %v", err)
		}
		if after, err := c.Count(); err != nil || after != want+1 {
			t.Errorf("Count: %d, %v", after, err)
		}
	}
}

// eat goes into a memory cgroup and takes more than it allows.
func eat(t *testing.T) {
	if err := os.WriteFile(os.Getenv("CGROUP_PROCS"), []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(-1, 0, 64<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
}

func BenchmarkOOMCounter(b *testing.B) {
	own, err := Find()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			c := NewOOMCounter(own)
			if c == nil {
				b.Skip("missing: a memory cgroup")
			}
			c.Close()
		}
	})
	b.Run("count", func(b *testing.B) {
		c := NewOOMCounter(own)
		if c == nil {
			b.Skip("missing: a memory cgroup")
		}
		defer c.Close()
		for b.Loop() {
			_, _ = c.Count()
		}
	})
}
