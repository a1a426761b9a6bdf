package cgroup

import (
	"cmp"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
)

// OOMCounter counts the processes that the kernel has killed for want of memory in a cgroup:
// oom_kill in memory.events (v2, Linux 4.13), where cgroups below count too, or in
// memory.oom_control (v1, Linux 4.13), where they do not. The kernel counts from the making of the
// cgroup, and other processes may be in it, so it is a difference that tells something. In v1 the
// cgroups below are counted one by one, unless that takes longer than walkLimit at first.
//
// One goroutine at a time uses it.
type OOMCounter struct {
	fd    int
	dir   int // v1: the cgroup's directory; -1: nothing below it is counted
	path  string
	below int           // v1: the kills in the cgroups below, at the last look that came to all of them
	walk  time.Duration // how long the walk over the cgroups below may take
}

// walkLimit is how long the walk over v1 cgroups may take.
const walkLimit = 10 * time.Millisecond

// NewOOMCounter returns a counter for the cgroup that own.Memory names, or nil where nothing
// counts. The file is opened once.
func NewOOMCounter(own Own) *OOMCounter { return newOOMCounter(own, walkLimit) }

func newOOMCounter(own Own, walk time.Duration) *OOMCounter {
	if own.Memory == "" {
		return nil
	}
	name := oomFileV2
	if own.MemoryV1 {
		name = oomFileV1
	}
	path := mounts.Join(own.Memory, "/"+name)
	fd, err := sys.Open(path, unix.O_RDONLY)
	if err != nil {
		return nil
	}
	c := &OOMCounter{fd: fd, dir: -1, path: path, walk: walk}
	if own.MemoryV1 {
		c.dir, _ = openat(unix.AT_FDCWD, own.Memory, unix.O_PATH|unix.O_DIRECTORY)
	}
	if c.dir >= 0 && c.look() != nil { // those that it missed would be new at the next look
		sys.Close(c.dir)
		c.dir = -1
	}
	if _, err := c.Count(); err == nil {
		return c
	}
	c.Close()
	return nil
}

// Count returns how many there have been so far. Of the cgroups below it is what the last look was
// that came to all of them.
func (c *OOMCounter) Count() (int, error) {
	count, err := readOOMKills(c.fd)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.path, err)
	}
	if c.dir >= 0 {
		_ = c.look()
	}
	return count + c.below, nil
}

// look counts the kills in the cgroups below. It is an error if it does not come to all of them.
func (c *OOMCounter) look() error {
	below, top, missed := 0, true, error(nil)
	err := walkCgroups(c.dir, time.Now().Add(c.walk), cgroupVisitor{visit: func(dir int) {
		if top {
			top = false // the first one is the cgroup itself
			return
		}
		fd, err := openat(dir, oomFileV1, unix.O_RDONLY)
		if err != nil {
			missed = cmp.Or(missed, gone(err))
			return
		}
		n, _ := readOOMKills(fd)
		below += n
		sys.Close(fd)
	}})
	if err = cmp.Or(err, missed); err == nil {
		c.below = max(c.below, below)
	}
	return err
}

// readOOMKills reads the count of one file.
func readOOMKills(fd int) (int, error) {
	var buf [512]byte
	n, err := readStart(fd, buf[:])
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	count, ok := procfs.Keyed(buf[:n], "oom_kill")
	if !ok {
		return 0, fmt.Errorf("oom_kill: %w", procfs.ErrMalformed)
	}
	return count, nil
}

// Close closes its file. It may be called of nil.
func (c *OOMCounter) Close() {
	if c == nil || c.fd < 0 {
		return
	}
	sys.Close(c.fd)
	if c.dir >= 0 {
		sys.Close(c.dir)
	}
	c.fd, c.dir = -1, -1
}
