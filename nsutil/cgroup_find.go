package nsutil

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// OwnCgroups is where this process stands in the hierarchies of cgroups(7). A directory is "" where there is none that can be reached
// from here.
type OwnCgroups struct {
	Unified  string // the directory of its v2 cgroup
	Memory   string // the directory whose memory.events (v2) or memory.oom_control (v1) counts for it
	MemoryV1 bool   // which of the two
}

const (
	cgroupMount   = "/sys/fs/cgroup"         // where everybody mounts cgroup2, or v1 hierarchies below it
	hybridMount   = cgroupMount + "/unified" // where systemd mounts cgroup2 beside v1 hierarchies
	memoryV1Mount = cgroupMount + "/memory"  // where v1's memory controller is by custom
	initialNS     = "cgroup:[4026531835]"    // PROC_CGROUP_INIT_INO: the cgroup namespace that the machine started with
	kernfsRoot    = 1                        // the inode number of the root of every hierarchy
	oomFileV1     = "memory.oom_control"     // in every v1 memory cgroup
	oomFileV2     = "memory.events"          // in every v2 cgroup but the root, where the memory controller is enabled
	mountinfo     = "/proc/self/mountinfo"   // proc_pid_mountinfo(5)
	ownCgroupFile = "/proc/self/cgroup"      // cgroups(7)
	deletedSuffix = " (deleted)"             // of a path in it
	firstRead     = 4 << 10                  // bytes; /proc/self/cgroup is far shorter
)

// FindCgroups finds the cgroups that this process is in. It is an error if /proc does not tell; a machine without cgroups is none.
//
// Where cgroup2 is mounted at the usual place, the list of mounts is not read, which costs more than all the rest. A directory there
// is believed only if it is proven to be the right one: what is mounted may be any part of the hierarchy, and the path that the kernel
// tells is relative to the cgroup namespace, which need not be the one of whoever mounted it.
func FindCgroups() (OwnCgroups, error) { return findCgroups(true) }

// FindUnified is FindCgroups for the v2 cgroup alone, which takes less time.
func FindUnified() (string, error) {
	own, err := findCgroups(false)
	return own.Unified, err
}

func findCgroups(memory bool) (OwnCgroups, error) {
	text, err := readAll(ownCgroupFile, make([]byte, firstRead))
	if err != nil {
		return OwnCgroups{}, err
	}
	paths := parseOwnCgroups(text)
	if !memory {
		paths.memory, paths.memoryV1 = "", true // not to be looked for in v2 either
	}
	own := OwnCgroups{MemoryV1: paths.memoryV1}
	mount := ""
	if paths.unified != "" {
		mount, own.Unified = usualUnified(paths.unified)
	}
	if paths.memory != "" {
		own.Memory = usualMemoryV1(paths.memory)
	}
	if (paths.unified != "" && own.Unified == "") || (paths.memory != "" && own.Memory == "") {
		text, err := readAll(mountinfo, make([]byte, 4*firstRead))
		if err != nil {
			return own.settled(mount), err
		}
		mounts := parseMounts(text)
		if paths.unified != "" && own.Unified == "" {
			point, dir := locate(mounts, mount2, paths.unified)
			if isFileSystem(dir, unix.CGROUP2_SUPER_MAGIC) {
				mount, own.Unified = point, dir
			}
		}
		if paths.memory != "" && own.Memory == "" {
			if _, dir := locate(mounts, mountMemoryV1, paths.memory); isFileSystem(dir, unix.CGROUP_SUPER_MAGIC) {
				own.Memory = dir
			}
		}
	}
	return own.settled(mount), nil
}

// settled returns own with Memory found, where that is in v2: the nearest of the own directory and those above it that counts.
func (own OwnCgroups) settled(mount string) OwnCgroups {
	if own.MemoryV1 || own.Unified == "" {
		own.MemoryV1 = own.Memory != ""
		return own
	}
	for dir := own.Unified; dir != "" && isWithin(mount, dir); dir = dir[:strings.LastIndexByte(dir, '/')] {
		if unix.Faccessat(unix.AT_FDCWD, join(dir, "/"+oomFileV2), unix.R_OK, 0) == nil {
			own.Memory = dir
			break
		}
	}
	return own
}

// usualUnified returns the v2 mount and this process's directory in it, if both are where they are on most machines. The proof is the
// kernel's word for which cgroup this process is in.
func usualUnified(path string) (mount, dir string) {
	mount = cgroupMount
	dir = join(mount, path)
	if !isFileSystem(dir, unix.CGROUP2_SUPER_MAGIC) {
		mount = hybridMount
		dir = join(mount, path)
		if !isFileSystem(dir, unix.CGROUP2_SUPER_MAGIC) {
			return "", ""
		}
	}
	id, ok := ownCgroupID()
	if !ok {
		return "", ""
	}
	if inode, _, err := identity(unix.AT_FDCWD, dir); err != nil || inode != id {
		return "", ""
	}
	return mount, dir
}

// usualMemoryV1 is the same for v1's memory controller. For v1 the kernel has no such word. But in the initial cgroup namespace paths begin at the root of
// the hierarchy, so if that is what is mounted there, and nothing is mounted over the directory, it is the right one.
func usualMemoryV1(path string) string {
	dir := join(memoryV1Mount, path)
	inode, mount, err := identity(unix.AT_FDCWD, memoryV1Mount)
	if err != nil || inode != kernfsRoot || mount == 0 {
		return ""
	}
	if _, same, err := identity(unix.AT_FDCWD, dir); err != nil || same != mount {
		return ""
	}
	var ns [len(initialNS) + 1]byte
	if n, err := sys.Readlink("/proc/self/ns/cgroup", ns[:]); err != nil || string(ns[:n]) != initialNS {
		return ""
	}
	if unix.Faccessat(unix.AT_FDCWD, join(dir, "/"+oomFileV1), unix.R_OK, 0) != nil {
		return "" // another controller's
	}
	return dir
}

func isFileSystem(path string, magic uint32) bool {
	var st unix.Statfs_t
	return path != "" && unix.Statfs(path, &st) == nil && uint32(st.Type) == magic
}

// readAll reads a whole file. It tells the runtime: lists of mounts and cgroups wait for whoever changes them.
func readAll(path string, buf []byte) ([]byte, error) {
	fd, err := sys.Open(path, unix.O_RDONLY|unix.O_NONBLOCK) // which may be somebody's FIFO
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer sys.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return nil, fmt.Errorf("%s is not of a procfs", path)
	}
	text, _, err := readToEnd(fd, buf)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}

// ownPaths is what /proc/self/cgroup says, as far as it is used here. Paths are relative to the cgroup namespace; "" stands for none, and
// for one that is out of reach.
type ownPaths struct {
	unified  string
	memory   string // in the v1 hierarchy that the memory controller is in
	memoryV1 bool   // there is such a hierarchy, so v2 has no memory controller
	pids     string // the same for the pids controller
	freezer  string // and the freezer
}

// parseOwnCgroups reads the text of /proc/PID/cgroup: lines of the form "hierarchy:controller,controller:/path", in any order. The path
// may itself hold colons. v2 is hierarchy 0, with no controllers. Other lines are passed over.
func parseOwnCgroups(b []byte) ownPaths {
	var own ownPaths
	for line := range bytes.Lines(b) {
		id, rest, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":"))
		controllers, path, ok := bytes.Cut(rest, []byte(":"))
		if !ok {
			continue
		}
		if string(id) == "0" && len(controllers) == 0 {
			own.unified = reachable(string(path))
		}
		for controller := range strings.SplitSeq(string(controllers), ",") {
			switch controller {
			case "memory":
				own.memory, own.memoryV1 = reachable(string(path)), true
			case "pids":
				own.pids = reachable(string(path))
			case "freezer":
				own.freezer = reachable(string(path))
			}
		}
	}
	return own
}

// reachable returns the path of a cgroup, or "" if it is outside the cgroup namespace or removed.
func reachable(path string) string {
	if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, deletedSuffix) || strings.HasPrefix(path, "/../") ||
		strings.Contains(path, "/../") || strings.HasSuffix(path, "/..") {
		return ""
	}
	return path
}

// hasWord reports whether a list with commas holds the word.
func hasWord(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if w == word {
			return true
		}
	}
	return false
}

// mount is a line of /proc/PID/mountinfo, as far as it is used here.
type mount struct {
	id, parent   int
	root         string // which directory of the file system is mounted
	point        string // where
	options      string // of the mount
	kind         string // the type of the file system
	superOptions string // of the file system; for v1 its controllers are among them
}

func mount2(m mount) bool        { return m.kind == "cgroup2" }
func mountMemoryV1(m mount) bool { return isV1(m, "memory") }

func isV1(m mount, controller string) bool {
	return m.kind == "cgroup" && hasWord(m.superOptions, controller)
}

// parseMounts reads the text of /proc/PID/mountinfo. Lines that are none are passed over.
func parseMounts(b []byte) []mount {
	var mounts []mount
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
		mounts = append(mounts, mount{
			id: id, parent: parent, root: unescape(l[3]), point: unescape(l[4]), options: l[5], kind: r[0], superOptions: r[2],
		})
	}
	return mounts
}

// unescape reads the escapes in a path of mountinfo: a backslash and three octal digits for a blank, a tab, a newline, a backslash.
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

// locate returns the mount and the directory in it of a cgroup, among those mounts of its hierarchy that it can be reached through,
// one that is not read-only if there is one; "" if there is none at all.
func locate(mounts []mount, isOf func(mount) bool, path string) (point, dir string) {
	for _, m := range mounts {
		if !isOf(m) || reachable(m.root) == "" || !isWithin(m.root, path) {
			continue
		}
		d := join(m.point, strings.TrimPrefix(path, strings.TrimSuffix(m.root, "/")))
		if isCovered(mounts, m, d) {
			continue
		}
		if !hasWord(m.options, "ro") {
			return m.point, d
		}
		if dir == "" {
			point, dir = m.point, d
		}
	}
	return point, dir
}

// isCovered reports whether dir, a path in the mount m, leads elsewhere, because something is mounted over it, over m, or over a
// directory on the way to it.
func isCovered(mounts []mount, m mount, dir string) bool {
	at, child := dir, -1 // what of m lies on the way: dir, and then the mount point of the mount below
	for range mounts {
		behind := child < 0
		for i, n := range mounts {
			switch {
			case i == child:
				behind = true
			case n.parent != m.id || n.id == m.id || !isWithin(n.point, at):
			case child < 0 || n.point != at || behind: // of two at the same point the last one counts
				return true
			}
		}
		at = m.point
		child = -1
		for i, n := range mounts {
			if n.id == m.id {
				child = i
			}
		}
		parent := -1
		for i, n := range mounts {
			if n.id == m.parent && n.id != m.id {
				parent = i
			}
		}
		if parent < 0 || child < 0 {
			return false // the root of what this process sees
		}
		m = mounts[parent]
	}
	return true // a circle
}

// isWithin reports whether path is dir, or below it.
func isWithin(dir, path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// join joins a directory and a path that begins with a slash.
func join(dir, path string) string {
	return strings.TrimSuffix(dir, "/") + strings.TrimSuffix(path, "/")
}
