package mounts

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Mount is a line of /proc/PID/mountinfo, as far as it is used here.
type Mount struct {
	ID, Parent   int
	Root         string // the directory of the file system that is mounted
	Point        string
	Options      string // of the mount
	Kind         string // the type of the file system
	SuperOptions string // of the file system; the controllers of a v1 hierarchy are among them
}

// IsUnified reports whether the v2 hierarchy of cgroups is mounted.
func (m Mount) IsUnified() bool { return m.Kind == "cgroup2" }

// IsV1 reports whether the v1 hierarchy of a controller is mounted.
func (m Mount) IsV1(controller string) bool {
	return m.Kind == "cgroup" && HasWord(m.SuperOptions, controller)
}

// HasWord reports whether a list with commas holds the word.
func HasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// Parse reads the text of /proc/PID/mountinfo. Malformed lines are passed over.
func Parse(b []byte) (all []Mount) {
	for line := range bytes.Lines(b) {
		left, right, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" - "))
		if !ok {
			continue
		}
		l, r := strings.Split(string(left), " "), strings.Split(string(right), " ")
		if len(l) < 6 || len(r) < 3 {
			continue
		}
		id, err := strconv.Atoi(l[0])
		parent, err2 := strconv.Atoi(l[1])
		if err != nil || err2 != nil {
			continue
		}
		all = append(all, Mount{
			ID: id, Parent: parent, Root: unescape(l[3]), Point: unescape(l[4]), Options: l[5],
			Kind: r[0], SuperOptions: r[2],
		})
	}
	return all
}

// unescape reads the escapes in a path of mountinfo: a backslash and three octal digits for a
// blank, a tab, a newline, a backslash.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(n))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// Locate returns the mount point and the directory of a cgroup, among those mounts of its hierarchy
// through which it can be reached: one that is not read-only, if there is one. Both are "" if there
// is no such mount.
func Locate(all []Mount, isOf func(Mount) bool, path string) (point, dir string) {
	for _, m := range all {
		if !isOf(m) || reachable(m.Root) == "" || !IsWithin(m.Root, path) {
			continue
		}
		d := Join(m.Point, strings.TrimPrefix(path, strings.TrimSuffix(m.Root, "/")))
		if isCovered(all, m, d) {
			continue
		}
		if !HasWord(m.Options, "ro") {
			return m.Point, d
		}
		if dir == "" {
			point, dir = m.Point, d
		}
	}
	return point, dir
}

// isCovered reports whether dir, a path in the mount m, leads elsewhere, because something is
// mounted over it, over m, or over a directory on the way to it.
func isCovered(all []Mount, m Mount, dir string) bool {
	at, child := dir, -1 // what of m is on the way: dir, and then the mount point of the mount below
	for range all {
		behind := child < 0
		for i, n := range all {
			switch {
			case i == child:
				behind = true
			case n.Parent != m.ID || n.ID == m.ID || !IsWithin(n.Point, at):
			case child < 0 || n.Point != at || behind: // of two at the same point the last one counts
				return true
			}
		}
		at = m.Point
		child = slices.IndexFunc(all, func(n Mount) bool { return n.ID == m.ID })
		parent := slices.IndexFunc(all, func(n Mount) bool { return n.ID == m.Parent && n.ID != m.ID })
		if parent < 0 || child < 0 {
			return false // the root of what this process sees
		}
		m = all[parent]
	}
	return true // a circle
}

// IsWithin reports whether path is dir, or below it.
func IsWithin(dir, path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// Join joins a directory and a path that begins with a slash.
func Join(dir, path string) string {
	return strings.TrimSuffix(dir, "/") + strings.TrimSuffix(path, "/")
}
