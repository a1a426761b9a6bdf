package mounts

import (
	"bytes"
	"strings"
)

// Cgroups is what /proc/PID/cgroup says, as far as it is used here. Paths are relative to the
// cgroup namespace. "" stands for none, and for one that is out of reach.
type Cgroups struct {
	Unified  string
	Memory   string // in the v1 hierarchy that the memory controller is in
	MemoryV1 bool   // there is such a hierarchy, so v2 has no memory controller
	PIDs     string // the same for the pids controller
	Freezer  string // and the freezer
}

// ParseCgroups reads the text of /proc/PID/cgroup: lines of the form
// "hierarchy:controller,controller:/path", in any order. The path may itself hold colons. v2 is
// hierarchy 0, with no controllers. Malformed lines are passed over.
func ParseCgroups(b []byte) (c Cgroups) {
	for line := range bytes.Lines(b) {
		id, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		controllers, path, ok := bytes.Cut(rest, []byte(":"))
		if !ok {
			continue
		}
		if string(id) == "0" && len(controllers) == 0 {
			c.Unified = reachable(string(path))
		}
		for controller := range strings.SplitSeq(string(controllers), ",") {
			switch controller {
			case "memory":
				c.Memory, c.MemoryV1 = reachable(string(path)), true
			case "pids":
				c.PIDs = reachable(string(path))
			case "freezer":
				c.Freezer = reachable(string(path))
			}
		}
	}
	return c
}

const removed = " (deleted)" // behind the path of a cgroup that was removed

// reachable returns the path of a cgroup, or "" if it is outside the cgroup namespace or removed.
func reachable(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, removed) || strings.HasPrefix(path, "/../") ||
		strings.Contains(path, "/../") || strings.HasSuffix(path, "/..") {
		return ""
	}
	return path
}
