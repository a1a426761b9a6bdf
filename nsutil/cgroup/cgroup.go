package cgroup

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
)

// Cgroup is a v2 cgroup that this process has made, for the command and nobody else. Only such a
// one is ever killed or removed.
//
// Its name is "finite-PID-" and something unique, and while its owner lives, the directory is
// locked (flock(2)). The kernel lets go of the lock when the owner ends, in whatever way: a
// directory with such a name that can be locked is nobody's any more, and whoever makes the next
// one beside it removes it if nobody is in it.
//
// One goroutine at a time uses a Cgroup, but for Populated, which any may call. Another one may go
// on with it when that is known to have ended; there is no lock.
type Cgroup struct {
	path   string
	name   string
	parent int // descriptors; O_PATH of the directory above, so that a mount over it changes nothing
	dir    int // locked
	kill   int // cgroup.kill
	events int // cgroup.events
}

const (
	leafPrefix = "finite-"

	// Digits to the base of 36: any number of 64 bits, and hardly a name that somebody else chose.
	uniqueLength = 13
	// Attempts to make a directory that nobody takes for a stale one while it is not locked yet.
	makeAttempts = 16
	// For the removal of stale ones, which the start of a command waits for.
	staleLimit = 20 * time.Millisecond
	// WaitEmpty looks again and again for firstWait. Then it pauses, first for firstWait, and each
	// time for twice as long, up to lastWait.
	firstWait = time.Millisecond
	lastWait  = 16 * time.Millisecond

	lastPause   = 10 * time.Millisecond // between attempts to remove what is empty
	removeExtra = 10 * time.Millisecond // for removing what is below, when no time is left to wait
	maxNamed    = 8                     // processes that an error names
)

// errTaken is for a directory that somebody else took for a stale one, between its making and its
// locking.
var errTaken = errors.New("taken away while it was made")

// FD returns a descriptor of its directory, for CLONE_INTO_CGROUP. It stays the Cgroup's. The
// directory is locked for as long as any process has a copy of the descriptor.
func (c *Cgroup) FD() int { return c.dir }

// Doors opens its cgroup.procs, and that of the cgroup above, for writing. A process that writes
// there goes in and out with the rights of this one.
func (c *Cgroup) Doors() (inside, outside int, err error) {
	if inside, err = openat(c.dir, "cgroup.procs", unix.O_WRONLY); err != nil {
		return -1, -1, fmt.Errorf("%s/cgroup.procs: %w", c.path, err)
	}
	if outside, err = openat(c.parent, "cgroup.procs", unix.O_WRONLY); err != nil {
		sys.Close(inside)
		return -1, -1, fmt.Errorf("%s/../cgroup.procs: %w", c.path, err)
	}
	return inside, outside, nil
}

// Path returns its directory.
func (c *Cgroup) Path() string { return c.path }

// Kill sends SIGKILL to everybody in it and in those below it, also to who is being forked at that
// moment. It does not wait for their end.
func (c *Cgroup) Kill() error {
	for _, pid := range nsutil.Family() {
		if c.holds(pid) && !c.moveOut(pid) {
			return fmt.Errorf("%s: this process was moved into it", c.path)
		}
	}
	err := writeStart(c.kill, []byte("1"))
	if err == nil || err == unix.ENODEV { // removed by somebody, so empty
		return nil
	}
	return fmt.Errorf("write %s/cgroup.kill: %w", c.path, err)
}

// moveOut moves a process of finite to the cgroup above, where it came from.
func (c *Cgroup) moveOut(pid int) bool {
	procs, err := openat(c.parent, "cgroup.procs", unix.O_WRONLY)
	if err != nil {
		return false
	}
	defer sys.Close(procs)
	return writeStart(procs, []byte(strconv.Itoa(pid))) == nil
}

// holds reports whether a process of finite is in the cgroup, or below it: the command may have
// moved it there. PID 1 of a PID namespace is safe from its own cgroup.kill; a subreaper is not.
func (c *Cgroup) holds(pid int) bool {
	text, err := procfs.ReadAll("/proc/"+strconv.Itoa(pid)+"/cgroup", make([]byte, firstRead))
	return err == nil && slices.Contains(strings.Split(mounts.ParseCgroups(text).Unified, "/"), c.name)
}

// Thaw thaws the cgroup and those below it, which somebody in them has frozen (cgroup.freeze, Linux
// 5.2), so that who is in it can act on a signal. It does what it can within a tenth of a second:
// SIGKILL takes the frozen as well.
func (c *Cgroup) Thaw() {
	const limit = 100 * time.Millisecond
	_ = walkCgroups(c.dir, time.Now().Add(limit), cgroupVisitor{
		visit: func(dir int) {
			if fd, err := openat(dir, "cgroup.freeze", unix.O_WRONLY); err == nil {
				_, _ = unix.Write(fd, []byte("0"))
				sys.Close(fd)
			}
		},
	})
}

func (c *Cgroup) close() {
	for _, fd := range []*int{&c.kill, &c.events, &c.dir, &c.parent} {
		if *fd >= 0 {
			sys.Close(*fd)
			*fd = -1
		}
	}
}
