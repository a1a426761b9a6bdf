package mounts

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// escape writes a path as the kernel does in mountinfo.
func escape(path string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`).Replace(path)
}

// A mount that is written as the kernel does is read back, whatever its paths are called, and
// whatever stands in other lines.
func FuzzMountinfo(f *testing.F) {
	f.Add(31, 23, "/", "/sys/fs/cgroup", "rw,nosuid", "shared:4 master:1", "cgroup2", "rw,nsdelegate", "x")
	f.Add(1, 1, "/a b\n\t\\#", "/ - x", "ro", "", "fuse.sshfs", "", "1 2 0:1 / / rw - a b c")
	f.Add(-1, 0, `\040`, "/\xff//deleted", "", "propagate_from:2", "", "", "31 23 0:28 / /c rw - cgroup2 none rw")
	f.Fuzz(func(t *testing.T, id, parent int, root, point, options, tags, kind, super, other string) {
		if strings.ContainsAny(options+kind+super, " \n") || strings.ContainsAny(tags, "-\n") ||
			slices.Contains([]string{root, point, options}, "-") {
			return
		}
		want := Mount{
			ID: id, Parent: parent, Root: root, Point: point, Options: options, Kind: kind, SuperOptions: super,
		}
		line := strings.Join([]string{
			strconv.Itoa(id), strconv.Itoa(parent), "0:28", escape(root), escape(point), options, tags, "-", kind,
			escape(other), super,
		}, " ")
		all := Parse([]byte(other + "\n" + line + "\n" + other))
		if n := strings.Count(other, "\n") + 1; len(all) > 2*n+1 || len(all) < 1 {
			t.Fatalf("%q: %d mounts", line, len(all))
		}
		if !slices.Contains(all, want) {
			t.Fatalf("%q: %+v, want %+v", line, all, want)
		}
	})
}

// A cgroup's paths are absolute and go nowhere up. A path that the kernel writes is read back.
func FuzzParseCgroups(f *testing.F) {
	f.Add([]byte("4:memory,x:/a\n0::/b\n"), "/a:b")
	f.Add([]byte("3:freezer,pids:/../x\n1:name=pids:/y\n"), "/..a/b..")
	f.Add([]byte("0::/x (deleted)\n0::"), "/ (deleted")
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		own := ParseCgroups(text)
		for _, path := range []string{own.Unified, own.Memory, own.PIDs, own.Freezer} {
			if path != "" && (path[0] != '/' || slices.Contains(strings.Split(path, "/"), "..")) {
				t.Fatalf("ParseCgroups(%q) = %+v", text, own)
			}
		}
		up := slices.Contains(strings.Split(path, "/"), "..") || strings.HasSuffix(path, removed)
		if !strings.HasPrefix(path, "/") || up || strings.Contains(path, "\n") {
			return
		}
		if len(text) > 0 && text[len(text)-1] != '\n' {
			text = append(bytes.Clone(text), '\n')
		}
		text = append(bytes.Clone(text), "5:pids,memory:"+path+"\n0::"+path+"\n7:freezer:"+path+"\n"...)
		want := Cgroups{Unified: path, Memory: path, MemoryV1: true, PIDs: path, Freezer: path}
		if got := ParseCgroups(text); got != want {
			t.Fatalf("ParseCgroups(%q) = %+v, want %+v", text, got, want)
		}
	})
}

// Whatever the list is, a directory is below the mount point that it is said to be in.
func FuzzParse(f *testing.F) {
	f.Add([]byte("31 23 0:28 / /c rw - cgroup2 none rw\n32 31 0:29 / /c/x rw - tmpfs none rw\n"), "/x")
	f.Add([]byte("3 4 0:1 / /a/b rw - cgroup2 x rw\n4 3 0:1 / /a rw - tmpfs x rw\n"), "/")
	f.Add([]byte("3 4 0:1 /.. / rw - cgroup2 x rw\n3 3 0:1 / / rw - cgroup2 x ro\n"), "/..")
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		all := Parse(text)
		if len(all) > bytes.Count(text, []byte("\n"))+1 {
			t.Fatalf("Parse(%q) = %+v", text, all)
		}
		if reachable(path) == "" || len(all) > 100 {
			return
		}
		point, dir := Locate(all, Mount.IsUnified, path)
		if !IsWithin(point, dir) || !slices.ContainsFunc(all, func(m Mount) bool {
			return dir == "" || m.IsUnified() && m.Point == point
		}) && len(all) > 0 {
			t.Fatalf("Locate(%q, %q) = %q, %q", text, path, point, dir)
		}
	})
}

// tree makes mounts as there can be in a mount namespace: the first one is the root, each other one
// is mounted at a directory of one before it. The bytes of the script choose the parent, the
// directory, and what is mounted.
func tree(script []byte) []Mount {
	all := []Mount{{ID: 1, Parent: 99, Root: "/", Point: "/", Kind: "ext4"}}
	for choice := range slices.Chunk(script[:min(len(script), 30)], 3) {
		if len(choice) < 3 {
			break
		}
		parent := all[int(choice[0])%len(all)]
		m := Mount{ID: len(all) + 1, Parent: parent.ID, Root: "/", Point: parent.Point, Kind: "tmpfs"}
		for bits := choice[1]; bits&3 != 0; bits >>= 2 {
			m.Point = strings.TrimSuffix(m.Point, "/") + "/" + string(rune('a'+bits&1))
		}
		if choice[2]&1 != 0 && m.Point != "/" { // a root is a file system with programs in it
			m.Kind = "cgroup2"
		}
		if choice[2]&2 != 0 {
			m.Root = "/a"
		}
		all = append(all, m)
	}
	return all
}

// resolve returns the mount that a path ends in, as the kernel walks it: from each directory on the
// way it goes on in what was mounted there last.
func resolve(all []Mount, path string) Mount {
	at := all[0]
	cross := func(dir string) {
		for crossed := true; crossed; {
			crossed = false
			for _, m := range slices.Backward(all) {
				if m.Parent == at.ID && m.Point == dir {
					at, crossed = m, true
					break
				}
			}
		}
	}
	cross("/")
	for i := 1; i <= len(path); i++ {
		if path != "/" && (i == len(path) || path[i] == '/') {
			cross(path[:i])
		}
	}
	return at
}

// A directory that is found is that of the cgroup: walking there ends in the mount that shows it.
// Where none is found, no mount shows it.
func FuzzLocate(f *testing.F) {
	f.Add([]byte{0, 5, 1}, uint8(0), true)
	f.Add([]byte{0, 5, 1, 1, 5, 0}, uint8(1), true)
	f.Add([]byte{0, 5, 0, 1, 6, 3, 2, 0, 1, 0, 5, 0}, uint8(5), false)
	f.Add([]byte{0, 6, 1, 0, 6, 1, 2, 0, 2}, uint8(2), false)
	f.Fuzz(func(t *testing.T, script []byte, where uint8, ordered bool) {
		all := tree(script)
		path := "/"
		for bits := where; bits&3 != 0; bits >>= 2 {
			path = strings.TrimSuffix(path, "/") + "/" + string(rune('a'+bits&1))
		}
		shows := func(m Mount, dir string) bool {
			inside := Join(m.Root, strings.TrimPrefix(dir, strings.TrimSuffix(m.Point, "/")))
			return m.IsUnified() && IsWithin(m.Root, path) && inside == strings.TrimSuffix(path, "/")
		}
		list := slices.Clone(all)
		if !ordered { // a parent may be listed behind what is mounted in it
			slices.SortStableFunc(list, func(a, b Mount) int { return strings.Compare(b.Kind, a.Kind) })
			if !sameOrderAtEachPoint(all, list) {
				return
			}
		}
		point, dir := Locate(list, Mount.IsUnified, path)
		if dir != "" {
			if m := resolve(all, dir); !shows(m, dir) || m.Point != point {
				t.Fatalf("%+v: %s is at %q in %q, but that is in %+v", all, path, dir, point, m)
			}
			return
		}
		for _, m := range all {
			dir := Join(m.Point, strings.TrimPrefix(path, strings.TrimSuffix(m.Root, "/")))
			if dir != "" && m.IsUnified() && IsWithin(m.Root, path) && resolve(all, dir) == m {
				t.Fatalf("%+v: %s is at %q", all, path, dir)
			}
		}
	})
}

// sameOrderAtEachPoint reports whether two lists have the mounts at each directory in one order.
func sameOrderAtEachPoint(a, b []Mount) bool {
	order := func(all []Mount) map[Mount][]int {
		at := make(map[Mount][]int)
		for _, m := range all {
			where := Mount{Parent: m.Parent, Point: m.Point}
			at[where] = append(at[where], m.ID)
		}
		return at
	}
	return reflect.DeepEqual(order(a), order(b))
}
