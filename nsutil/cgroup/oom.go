package cgroup

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
)

// OOMCounter counts the processes that the kernel has killed for want of memory in a cgroup:
// oom_kill in memory.events (v2, Linux 4.13), where cgroups below count too, or in
// memory.oom_control (v1, Linux 4.13), where they do not. The kernel counts from the making of the
// cgroup, and other processes may be in it, so it is a difference that tells something.
//
// One goroutine at a time uses it.
type OOMCounter struct {
	fd   int
	path string
}

// NewOOMCounter returns a counter for the cgroup that own.Memory names, or nil where nothing
// counts. The file is opened once.
func NewOOMCounter(own Own) *OOMCounter {
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
	c := &OOMCounter{fd: fd, path: path}
	if _, err := c.Count(); err != nil {
		c.Close()
		return nil
	}
	return c
}

// Count returns how many there have been so far.
func (c *OOMCounter) Count() (int, error) {
	var buf [512]byte
	n, err := readStart(c.fd, buf[:])
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", c.path, err)
	}
	count, ok := procfs.Keyed(buf[:n], "oom_kill")
	if !ok {
		return 0, fmt.Errorf("%s: oom_kill: %w", c.path, procfs.ErrMalformed)
	}
	return count, nil
}

// Close closes its file. It may be called of nil.
func (c *OOMCounter) Close() {
	if c != nil && c.fd >= 0 {
		sys.Close(c.fd)
		c.fd = -1
	}
}
