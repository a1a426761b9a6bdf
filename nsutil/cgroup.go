package nsutil

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

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
func FindCgroups() (OwnCgroups, error) {
	text, err := readAll(ownCgroupFile, make([]byte, firstRead))
	if err != nil {
		return OwnCgroups{}, err
	}
	paths := parseOwnCgroups(text)
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
	fd, err := sys.Open(path, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer sys.Close(fd)
	total := 0
	for {
		if total == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := read(fd, buf[total:])
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if n <= 0 {
			return buf[:total], nil
		}
		total += n
	}
}

// ownPaths is what /proc/self/cgroup says, as far as it is used here. Paths are relative to the cgroup namespace; "" stands for none, and
// for one that is out of reach.
type ownPaths struct {
	unified  string
	memory   string // in the v1 hierarchy that the memory controller is in
	memoryV1 bool   // there is such a hierarchy, so v2 has no memory controller
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
		switch {
		case string(id) == "0" && len(controllers) == 0:
			own.unified = reachable(string(path))
		case hasWord(string(controllers), "memory"):
			own.memory, own.memoryV1 = reachable(string(path)), true
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
func mountMemoryV1(m mount) bool { return m.kind == "cgroup" && hasWord(m.superOptions, "memory") }

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

// Cgroup is a v2 cgroup that this process has made, for the command and nobody else. Only such a one is ever killed or removed.
//
// Its name is "finite-PID-" and something unique, and while its owner lives, the directory is locked (flock(2)). The kernel lets go of
// the lock when the owner ends, in whatever way: a directory with such a name that can be locked is nobody's any more, and whoever makes
// the next one beside it removes it if nobody is in it.
//
// One goroutine at a time uses a Cgroup. Another one may go on with it when that is known to have ended; there is no lock.
type Cgroup struct {
	path   string
	name   string
	parent int // descriptors; O_PATH of the directory above, so that a mount over it changes nothing
	dir    int // locked
	kill   int // cgroup.kill
	events int // cgroup.events
}

const (
	leafPrefix   = "finite-"
	makeAttempts = 16                    // to make a directory that nobody takes for a stale one while it is not locked yet
	staleLimit   = 20 * time.Millisecond // for the removal of stale ones, which the start of a command waits for
	firstWait    = 50 * time.Microsecond // before looking again whether somebody is in it, and then twice as long each time
	lastWait     = time.Second           // at most
	lastPause    = 10 * time.Millisecond // between attempts to remove what is empty
	removeExtra  = 10 * time.Millisecond // for removing what is below, when no time is left to wait
	maxNamed     = 8                     // processes that an error names
)

// errTaken is for a directory that somebody else took for a stale one, between its making and its locking.
var errTaken = errors.New("taken away while it was made")

// NewCgroup makes a cgroup below parent, a directory of cgroup2, and removes stale ones beside it. It fails where cgroups may not be made
// (a read-only mount, no permission, a limit on their number) and before Linux 5.14, which has no cgroup.kill; nothing is left then.
func NewCgroup(parent string) (*Cgroup, error) {
	up, err := sys.Open(parent, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", parent, err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(up, &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		sys.Close(up)
		return nil, fmt.Errorf("%s is not in cgroup2", parent)
	}
	if n, err := sys.Links(parent); err == nil && n > 2 {
		removeStale(up, time.Now().Add(staleLimit))
	}
	for range makeAttempts {
		var c *Cgroup
		if c, err = makeLeaf(up, parent); err == nil {
			return c, nil
		}
		if err != errTaken {
			break
		}
	}
	sys.Close(up)
	return nil, fmt.Errorf("cannot make a cgroup in %s: %w", parent, err)
}

// makeLeaf makes one. Whatever fails with ENOENT has been removed by somebody else, but for cgroup.kill: it is opened last, when the lock
// is held and another file was there.
func makeLeaf(up int, parent string) (*Cgroup, error) {
	name := leafName()
	if err := unix.Mkdirat(up, name, 0o755); err != nil {
		if err == unix.EEXIST {
			return nil, errTaken
		}
		return nil, fmt.Errorf("mkdir: %w", err)
	}
	c := &Cgroup{path: join(parent, "/"+name), name: name, parent: up, dir: -1, kill: -1, events: -1}
	err := c.open()
	if err == nil {
		return c, nil
	}
	c.parent = -1 // the caller's
	c.close()
	if err != errTaken {
		_ = unix.Unlinkat(up, name, unix.AT_REMOVEDIR)
	}
	return nil, err
}

func (c *Cgroup) open() (err error) {
	if c.dir, err = openat(c.parent, c.name, unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
		err = flock(c.dir)
	}
	if err == nil {
		c.events, err = openat(c.dir, "cgroup.events", unix.O_RDONLY)
	}
	if err == unix.ENOENT || err == unix.EWOULDBLOCK {
		return errTaken
	}
	if err != nil {
		return err
	}
	c.kill, err = openat(c.dir, "cgroup.kill", unix.O_WRONLY)
	if err == unix.ENOENT {
		return fmt.Errorf("no cgroup.kill, which is there since Linux 5.14: %w", err)
	}
	return err
}

// flock takes the lock that says that a directory has an owner. EWOULDBLOCK: it has one.
func flock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}

// leafName returns a name that nobody has: PIDs are given again, and the same in many PID namespaces, but not in the same nanosecond.
func leafName() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	b := strconv.AppendInt([]byte(leafPrefix), int64(unix.Getpid()), 10)
	return string(strconv.AppendInt(append(b, '-'), now.Nano(), 36))
}

// isLeafName reports whether a name is of the form that leafName returns.
func isLeafName(name string) bool {
	name, ok := strings.CutPrefix(name, leafPrefix)
	pid, unique, ok2 := strings.Cut(name, "-")
	return ok && ok2 && pid != "" && strings.Trim(pid, "0123456789") == "" &&
		unique != "" && strings.Trim(unique, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// FD returns a descriptor of its directory, for CLONE_INTO_CGROUP. It stays the Cgroup's.
func (c *Cgroup) FD() int { return c.dir }

// Path returns its directory.
func (c *Cgroup) Path() string { return c.path }

// Kill sends SIGKILL to everybody in it and in those below it, also to who is being forked at that moment. It does not wait for their end.
func (c *Cgroup) Kill() error {
	for {
		_, err := unix.Write(c.kill, []byte("1"))
		switch err {
		case nil, unix.ENODEV: // removed by somebody, so empty
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("write %s/cgroup.kill: %w", c.path, err)
		}
	}
}

// Populated reports whether anybody is in it or in those below it. Zombies do not count.
func (c *Cgroup) Populated() (bool, error) {
	is, err := populated(c.events)
	if err != nil {
		return false, fmt.Errorf("%s/cgroup.events: %w", c.path, err)
	}
	return is, nil
}

// populated reads cgroup.events. A cgroup that has been removed is not populated.
func populated(events int) (bool, error) {
	var buf [256]byte
	n, err := readStart(events, buf[:])
	if err == unix.ENODEV {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	value, ok := keyed(buf[:n], "populated")
	if !ok {
		return false, errMalformed
	}
	return value != 0, nil
}

// keyed reads a number out of a file of lines of the form "key number".
func keyed(b []byte, key string) (int, bool) {
	for line := range bytes.Lines(b) {
		k, v, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		if string(k) != key {
			continue
		}
		n, err := strconv.Atoi(string(v))
		return n, err == nil && n >= 0
	}
	return 0, false
}

// WaitEmpty waits until nobody is in it and in those below it, limit at most, and reports whether that is so. The kernel says when
// cgroup.events changes (POLLPRI), but holds that back for 10 to 20 ms after it last did; so this also looks by itself, first soon and
// then less and less often.
func (c *Cgroup) WaitEmpty(limit time.Duration) bool {
	var begin time.Time
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		is, err := c.Populated()
		if err != nil || !is {
			return err == nil
		}
		if begin.IsZero() {
			begin = time.Now()
		}
		left := limit - time.Since(begin)
		if left <= 0 {
			return false
		}
		timeout := unix.NsecToTimespec(int64(min(wait, left)))
		_, err = unix.Ppoll([]unix.PollFd{{Fd: int32(c.events), Events: unix.POLLPRI}}, &timeout, nil)
		if err != nil && err != unix.EINTR {
			time.Sleep(min(wait, left)) // refused by a filter
		}
	}
}

// PIDs appends everybody in it and in those below it, as PIDs of this process's namespace; who has none there is left out. Zombies are
// not in a cgroup any more. Who comes or moves meanwhile may be missed or be there twice.
func (c *Cgroup) PIDs(pids []int) ([]int, error) { return c.pids(pids, time.Time{}) }

func (c *Cgroup) pids(pids []int, until time.Time) ([]int, error) {
	buf := make([]byte, 4<<10)
	first := true
	var failed error
	err := walkCgroups(c.dir, until, cgroupVisitor{
		visit: func(dir int) {
			var err error
			pids, err = appendProcs(pids, dir, buf)
			// A threaded cgroup has no list: who is in it is on the list of the one above, unless this is the first.
			if err != nil && failed == nil && (first || err != unix.EOPNOTSUPP) {
				failed = err
			}
			first = false
		},
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return pids, fmt.Errorf("processes of %s: %w", c.path, err)
	}
	return pids, nil
}

// appendProcs appends who is in one cgroup.
func appendProcs(pids []int, dir int, buf []byte) ([]int, error) {
	fd, err := openat(dir, "cgroup.procs", unix.O_RDONLY)
	if err != nil {
		return pids, gone(err)
	}
	defer sys.Close(fd)
	kept := 0
	for {
		n, err := sys.Read(fd, buf[kept:])
		if err != nil {
			return pids, gone(err)
		}
		kept += n
		whole := bytes.LastIndexByte(buf[:kept], '\n') + 1
		pids = parseProcs(pids, buf[:whole])
		kept = copy(buf, buf[whole:kept])
		if n == 0 || kept == len(buf) {
			return pids, nil
		}
	}
}

// gone is an error of a cgroup that may have been removed meanwhile, which is none.
func gone(err error) error {
	switch err {
	case unix.ENOENT, unix.ENODEV:
		return nil
	}
	return err
}

// parseProcs appends the PIDs in the text of cgroup.procs, a line each. 0 stands for a process that has no PID here.
func parseProcs(pids []int, b []byte) []int {
	for line := range bytes.Lines(b) {
		if pid, err := strconv.Atoi(string(bytes.TrimSuffix(line, []byte("\n")))); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Remove removes it, and everything below it. If somebody is in it, it waits for their end, limit at most; the time that it takes in all is hardly
// more. The descriptors are closed in any case. An error says what is left.
func (c *Cgroup) Remove(limit time.Duration) error {
	defer c.close()
	err := unix.Unlinkat(c.parent, c.name, unix.AT_REMOVEDIR)
	if !isInUse(err) {
		return c.removed(err)
	}
	begin := time.Now()
	for pause := firstWait; ; pause = min(2*pause, lastPause) {
		if !c.WaitEmpty(limit - time.Since(begin)) {
			break
		}
		below := removeBelow(c.dir, begin.Add(limit+removeExtra))
		if err = unix.Unlinkat(c.parent, c.name, unix.AT_REMOVEDIR); !isInUse(err) {
			return c.removed(err)
		}
		if below != nil {
			err = fmt.Errorf("what is below it: %w", below)
		}
		left := limit - time.Since(begin)
		if left <= 0 {
			return c.removed(err)
		}
		time.Sleep(min(pause, left)) // somebody came anew
	}
	pids, _ := c.pids(nil, time.Now().Add(removeExtra))
	text := ""
	for i, pid := range pids {
		if i == maxNamed {
			text += ", …"
			break
		}
		text += ", " + strconv.Itoa(pid)
	}
	return c.removed(fmt.Errorf("%d processes are in it (pid %s): %w", len(pids), strings.TrimPrefix(text, ", "), err))
}

func (c *Cgroup) removed(err error) error {
	if err == nil || err == unix.ENOENT {
		return nil
	}
	return fmt.Errorf("cannot remove cgroup %s: %w", c.path, err)
}

func isInUse(err error) bool { return err == unix.EBUSY || err == unix.ENOTEMPTY }

func (c *Cgroup) close() {
	for _, fd := range []*int{&c.kill, &c.events, &c.dir, &c.parent} {
		if *fd >= 0 {
			sys.Close(*fd)
			*fd = -1
		}
	}
}

// removeStale removes those of the cgroups in a directory that were made by a process that is gone and hold nobody. One that somebody is still in is
// left as it is. What fails is left for the next one to try.
func removeStale(up int, until time.Time) {
	list, err := openat(up, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	names, _ := directories(list, nil)
	sys.Close(list)
	for _, name := range names {
		if isLeafName(name) && time.Now().Before(until) {
			removeIfStale(up, name, until)
		}
	}
}

func removeIfStale(up int, name string, until time.Time) {
	fd, err := openat(up, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return
	}
	defer sys.Close(fd)
	if flock(fd) != nil {
		return // it has an owner
	}
	if !isInUse(unix.Unlinkat(up, name, unix.AT_REMOVEDIR)) {
		return
	}
	events, err := openat(fd, "cgroup.events", unix.O_RDONLY)
	if err != nil {
		return
	}
	defer sys.Close(events)
	if is, err := populated(events); is || err != nil {
		return
	}
	if removeBelow(fd, until) == nil {
		_ = unix.Unlinkat(up, name, unix.AT_REMOVEDIR)
	}
}

// removeBelow removes every cgroup below dir that can be removed, the lowest first, and returns the first error of one that cannot.
func removeBelow(dir int, until time.Time) error {
	var failed error
	err := walkCgroups(dir, until, cgroupVisitor{
		enter: func(dir int, name string) bool { return isInUse(unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)) },
		leave: func(dir int, name string) {
			err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
			if err != nil && err != unix.ENOENT && failed == nil {
				failed = fmt.Errorf("%s: %w", name, err)
			}
		},
	})
	if err != nil {
		return err
	}
	return failed
}

// cgroupVisitor is what to do on a walk. Each function may be nil.
type cgroupVisitor struct {
	enter func(dir int, name string) bool // whether to go into this directory of dir
	visit func(dir int)                   // in each one, the first included
	leave func(dir int, name string)      // when all below it has been visited
}

// errMountedOver is for a directory that leads to something else than the cgroup that was made there.
var errMountedOver = errors.New("something is mounted over it")

// walkCgroups walks over a cgroup and those below it. How deep they are, and how many, was the command's to choose: this is no
// recursion, holds two descriptors, and ends at a point in time, if that is not zero. Names that vanish are passed over. It does not go into what
// has been mounted over a directory, which may be anything, a cgroup of others' included. Directories of cgroup2 cannot be moved, so ".."
// is where it came from.
func walkCgroups(top int, until time.Time, v cgroupVisitor) error {
	_, mount, err := identity(top, "")
	if err != nil {
		return err
	}
	cur, err := openat(top, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return gone(err)
	}
	defer func() { sys.Close(cur) }()
	type level struct {
		name  string
		below []string // still to be visited
	}
	var levels []level
	var skipped error
	buf := make([]byte, 8<<10)
	arrive := func(name string) error {
		if v.visit != nil {
			v.visit(cur)
		}
		below, err := directories(cur, buf)
		levels = append(levels, level{name, below})
		return err
	}
	if err := arrive(""); err != nil {
		return err
	}
	for {
		if !until.IsZero() && time.Now().After(until) {
			return unix.ETIME
		}
		last := &levels[len(levels)-1]
		if n := len(last.below); n > 0 {
			name := last.below[n-1]
			last.below = last.below[:n-1]
			if v.enter != nil && !v.enter(cur, name) {
				continue
			}
			next, err := openat(cur, name, unix.O_RDONLY|unix.O_DIRECTORY)
			if err != nil {
				if gone(err) != nil && skipped == nil {
					skipped = err
				}
				continue
			}
			if _, m, err := identity(next, ""); err != nil || m != mount || mount == 0 {
				sys.Close(next)
				skipped = fmt.Errorf("%s: %w", name, errMountedOver)
				continue
			}
			sys.Close(cur)
			cur = next
			if err := arrive(name); err != nil {
				return err
			}
			continue
		}
		if len(levels) == 1 {
			return skipped
		}
		up, err := openat(cur, "..", unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		sys.Close(cur)
		cur = up
		if v.leave != nil {
			v.leave(cur, last.name)
		}
		levels = levels[:len(levels)-1]
	}
}

// directories lists the directories in one. It may be removed meanwhile, and is empty then.
func directories(fd int, buf []byte) ([]string, error) {
	if buf == nil {
		buf = make([]byte, 8<<10)
	}
	var names []string
	for {
		n, err := sys.ReadDirent(fd, buf)
		if err != nil {
			return names, gone(err)
		}
		if n <= 0 {
			return names, nil
		}
		for name, isDir, rest := nextDirent(buf[:n]); rest != nil; name, isDir, rest = nextDirent(rest) {
			if isDir && name != "." && name != ".." {
				names = append(names, name)
			}
		}
	}
}
