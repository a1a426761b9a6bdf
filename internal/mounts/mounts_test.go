package mounts

import (
	"reflect"
	"testing"
)

func TestParseCgroups(t *testing.T) {
	for text, want := range map[string]Cgroups{
		"":                          {},
		"0::/\n":                    {Unified: "/"},
		"0::/a b:c/d\n":             {Unified: "/a b:c/d"},
		"0::/a":                     {Unified: "/a"},
		"0::/a (deleted)\n":         {},
		"0::/../a\n":                {},
		"0::/..\n":                  {},
		"0::/a/..b/..\n":            {},
		"0::/a/..b/b..\n":           {Unified: "/a/..b/b.."},
		"0::\n":                     {},
		"0:\n0\nx\n:::\n":           {},
		"4:memory:/x\n0::/\n":       {Unified: "/", Memory: "/x", MemoryV1: true},
		"0::/\n4:memory:/x\n":       {Unified: "/", Memory: "/x", MemoryV1: true},
		"4:memory,hugetlb:/x:y\n":   {Memory: "/x:y", MemoryV1: true},
		"4:hugetlb,memory:/\n":      {Memory: "/", MemoryV1: true},
		"4:memory:/../x\n":          {MemoryV1: true},
		"1:name=memory:/x\n":        {},
		"1:name=systemd:/x\n":       {},
		"3:cpu,cpuacct:/x\n0::/y\n": {Unified: "/y"},
		"3:pids:/x\n2:freezer:/y\n": {PIDs: "/x", Freezer: "/y"},
		"3:freezer,pids:/x\n":       {PIDs: "/x", Freezer: "/x"},
	} {
		if got := ParseCgroups([]byte(text)); got != want {
			t.Errorf("ParseCgroups(%q) = %+v, want %+v", text, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	text := "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" +
		"no mount\n1 2 3 - x y z\nx 2 0:1 / / rw - a b c\n1 x 0:1 / / rw - a b c\n" +
		"41 31 0:38 /a\\040b /x\\011y\\012z\\134\\1\\999 ro,relatime shared:1 master:2 - cgroup2 no\\040ne " +
		"rw,nsdelegate\n"
	want := []Mount{
		{31, 23, "/", "/sys/fs/cgroup", "rw,relatime", "tmpfs", "rw,mode=755"},
		{41, 31, "/a b", "/x\ty\nz\\\\1\\999", "ro,relatime", "cgroup2", "rw,nsdelegate"},
	}
	if got := Parse([]byte(text)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLocate(t *testing.T) {
	m := func(id, parent int, root, point, kind string) Mount {
		return Mount{id, parent, root, point, "rw", kind, "rw,memory"}
	}
	root, tmp := m(1, 0, "/", "/", "ext4"), m(2, 1, "/", "/sys/fs/cgroup", "tmpfs")
	readOnly := m(3, 1, "/", "/ro", "cgroup2")
	readOnly.Options = "ro,nosuid"
	for name, tt := range map[string]struct {
		mounts []Mount
		path   string
		point  string
		want   string
	}{
		"none": {[]Mount{root, tmp}, "/a", "", ""},
		"unified": {
			[]Mount{root, m(3, 1, "/", "/sys/fs/cgroup", "cgroup2")},
			"/a/b", "/sys/fs/cgroup", "/sys/fs/cgroup/a/b",
		},
		"root": {
			[]Mount{root, m(3, 1, "/", "/sys/fs/cgroup", "cgroup2")},
			"/", "/sys/fs/cgroup", "/sys/fs/cgroup",
		},
		"hybrid": {
			[]Mount{root, tmp, m(3, 2, "/", "/sys/fs/cgroup/unified", "cgroup2")},
			"/a", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a",
		},
		"out of order": {
			[]Mount{m(3, 2, "/", "/sys/fs/cgroup/unified", "cgroup2"), tmp, root},
			"/a", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a",
		},
		"v1":             {[]Mount{root, tmp, m(3, 2, "/", "/sys/fs/cgroup/memory", "cgroup")}, "/a", "", ""},
		"root stripped":  {[]Mount{root, m(3, 1, "/x", "/c", "cgroup2")}, "/x/a", "/c", "/c/a"},
		"root itself":    {[]Mount{root, m(3, 1, "/x", "/c", "cgroup2")}, "/x", "/c", "/c"},
		"another root":   {[]Mount{root, m(3, 1, "/x", "/c", "cgroup2")}, "/xy", "", ""},
		"below our root": {[]Mount{root, m(3, 1, "/x/a", "/c", "cgroup2")}, "/x", "", ""},
		"above":          {[]Mount{root, m(3, 1, "/..", "/c", "cgroup2")}, "/", "", ""},
		"several": {
			[]Mount{root, m(3, 1, "/y", "/c", "cgroup2"), m(4, 1, "/", "/d", "cgroup2")},
			"/x", "/d", "/d/x",
		},
		"read-only too": {[]Mount{root, readOnly, m(4, 1, "/", "/d", "cgroup2")}, "/x", "/d", "/d/x"},
		"read-only":     {[]Mount{root, readOnly}, "/x", "/ro", "/ro/x"},
		"mounted over": {
			[]Mount{root, m(3, 1, "/", "/c", "cgroup2"), m(4, 3, "/", "/c", "tmpfs")},
			"/x", "", "",
		},
		"twice": {
			[]Mount{root, m(3, 1, "/x", "/c", "cgroup2"), m(4, 3, "/", "/c", "cgroup2")},
			"/x", "/c", "/c/x",
		},
		"the last one": {
			[]Mount{root, m(3, 1, "/", "/c", "cgroup2"), m(4, 1, "/x", "/c", "cgroup2")},
			"/x", "/c", "/c",
		},
		"parent covered": {
			[]Mount{
				root, tmp, m(3, 2, "/", "/sys/fs/cgroup/unified", "cgroup2"),
				m(4, 2, "/", "/sys/fs/cgroup", "tmpfs"),
			},
			"/", "", "",
		},
		"above covered": {
			[]Mount{root, m(3, 1, "/", "/sys/fs/cgroup", "cgroup2"), m(4, 1, "/", "/sys", "sysfs")},
			"/", "", "",
		},
		"beside": {
			[]Mount{
				root, m(3, 1, "/", "/c", "cgroup2"), m(4, 1, "/", "/cc", "tmpfs"),
				m(5, 3, "/", "/c/y", "tmpfs"),
			},
			"/x", "/c", "/c/x",
		},
		"on the way": {
			[]Mount{root, m(3, 1, "/", "/c", "cgroup2"), m(5, 3, "/", "/c/x", "tmpfs")},
			"/x/y", "", "",
		},
		"under it": {
			[]Mount{
				root, m(2, 1, "/", "/a/b", "tmpfs"), m(3, 1, "/", "/a", "ext4"),
				m(4, 3, "/", "/a/b/c", "cgroup2"),
			},
			"/", "/a/b/c", "/a/b/c",
		},
		"circle": {
			[]Mount{m(3, 4, "/", "/a/b", "cgroup2"), m(4, 3, "/", "/a", "tmpfs")},
			"/", "", "",
		},
		"no parent": {[]Mount{m(3, 77, "/", "/c", "cgroup2")}, "/x", "/c", "/c/x"},
	} {
		if point, dir := Locate(tt.mounts, Mount.IsUnified, tt.path); point != tt.point || dir != tt.want {
			t.Errorf("%s: locate = %q, %q, want %q, %q", name, point, dir, tt.point, tt.want)
		}
	}
	isMemory := func(m Mount) bool { return m.IsV1("memory") }
	named := m(3, 1, "/", "/c", "cgroup")
	named.SuperOptions = "rw,name=memory"
	if _, dir := Locate([]Mount{root, named}, isMemory, "/"); dir != "" {
		t.Errorf("a hierarchy called memory is taken for the controller: %q", dir)
	}
	named.SuperOptions = "rw,hugetlb,memory"
	if _, dir := Locate([]Mount{root, named}, isMemory, "/x"); dir != "/c/x" {
		t.Errorf("with another controller: %q", dir)
	}
}
