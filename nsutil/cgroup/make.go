package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/sys"
)

// How a Cgroup comes about: it is made, or another process has left it.

// New makes a cgroup below parent, a directory of cgroup2, and removes stale ones beside it. It
// fails where cgroups may not be made (a read-only mount, no permission, a limit on their number)
// and before Linux 5.14, which has no cgroup.kill; nothing is left then.
func New(parent string) (*Cgroup, error) {
	up, err := sys.Open(parent, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", parent, err)
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(up, &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		sys.Close(up)
		return nil, fmt.Errorf("%s is not in cgroup2", parent)
	}
	if n, err := sys.Links(unix.AT_FDCWD, parent); err == nil && n > 2 {
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

// makeLeaf makes one. Whatever fails with ENOENT has been removed by somebody else, but for
// cgroup.kill: it is opened last, when the lock is held and another file was there.
func makeLeaf(up int, parent string) (*Cgroup, error) {
	name := leafName()
	if err := unix.Mkdirat(up, name, 0o755); err != nil {
		if err == unix.EEXIST {
			return nil, errTaken
		}
		return nil, fmt.Errorf("mkdir: %w", err)
	}
	c := &Cgroup{path: mounts.Join(parent, "/"+name), name: name, parent: up, dir: -1, kill: -1, events: -1}
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
		err = sameMount(c.parent, c.dir)
	}
	if err == nil {
		err = c.openFiles()
	}
	if err == unix.ENOENT || err == unix.EWOULDBLOCK {
		return errTaken
	}
	return err
}

// openFiles opens the files of a directory that is open.
func (c *Cgroup) openFiles() (err error) {
	if c.events, err = openat(c.dir, "cgroup.events", unix.O_RDONLY); err != nil {
		return err
	}
	c.kill, err = openat(c.dir, "cgroup.kill", unix.O_WRONLY)
	if err == unix.ENOENT {
		return fmt.Errorf("no cgroup.kill, which is there since Linux 5.14: %w", err)
	}
	return err
}

// Adopt returns the Cgroup whose FD another process has left to this one, which goes on with
// it: see [Cgroup.FD]. The descriptor is the Cgroup's then. Without /proc, and where the directory
// was removed or moved, Adopt fails, and the descriptor stays the caller's.
func Adopt(fd int) (*Cgroup, error) {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	c := &Cgroup{path: path, name: filepath.Base(path), parent: -1, dir: fd, kill: -1, events: -1}
	if !isLeafName(c.name) {
		return nil, fmt.Errorf("%s is no cgroup of finite's", path)
	}
	if c.parent, err = openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY); err == nil {
		err = c.openFiles()
	}
	if err == nil {
		err = sameDirectory(c.parent, c.name, fd)
	}
	if err != nil {
		c.dir = -1
		c.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// sameDirectory returns an error unless a name is that of a directory that is open.
func sameDirectory(parent int, name string, dir int) error {
	first, mount1, err := identity(parent, name)
	if err != nil {
		return fmt.Errorf("statx: %w", err)
	}
	second, mount2, err := identity(dir, "")
	if err != nil {
		return fmt.Errorf("statx: %w", err)
	}
	if first != second || mount1 != mount2 {
		return errMountedOver
	}
	return nil
}

// flock takes the lock that says that a directory has an owner. EWOULDBLOCK: it has one.
func flock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != unix.EINTR {
			return err
		}
	}
}

// leafName returns a name that nobody has: PIDs are given again, and the same in many PID
// namespaces, but not in the same nanosecond.
func leafName() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	unique := strconv.FormatInt(now.Nano(), 36)
	unique = strings.Repeat("0", uniqueLength-len(unique)) + unique
	return leafPrefix + strconv.Itoa(unix.Getpid()) + "-" + unique
}

// isLeafName reports whether a name is of the form that leafName returns.
func isLeafName(name string) bool {
	name, ok := strings.CutPrefix(name, leafPrefix)
	pid, unique, ok2 := strings.Cut(name, "-")
	return ok && ok2 && pid != "" && strings.Trim(pid, "0123456789") == "" &&
		len(unique) == uniqueLength && strings.Trim(unique, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}
