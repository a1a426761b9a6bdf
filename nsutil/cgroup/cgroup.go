package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/internal/text"
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
	leafPrefix   = "finite-"
	uniqueLength = 13                    // digits to the base of 36: any number of 64 bits, and hardly a name that somebody else chose
	makeAttempts = 16                    // to make a directory that nobody takes for a stale one while it is not locked yet
	staleLimit   = 20 * time.Millisecond // for the removal of stale ones, which the start of a command waits for
	firstWait    = time.Millisecond      // of looking again and again whether somebody is in it, and then the first pause, and then twice as long each time
	lastWait     = 16 * time.Millisecond // at most
	lastPause    = 10 * time.Millisecond // between attempts to remove what is empty
	removeExtra  = 10 * time.Millisecond // for removing what is below, when no time is left to wait
	maxNamed     = 8                     // processes that an error names
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
	value, ok := procfs.Keyed(buf[:n], "populated")
	if !ok {
		return false, procfs.ErrMalformed
	}
	return value != 0, nil
}

// WaitEmpty waits until nobody is in it and in those below it, limit at most, and reports whether
// that is so. The kernel says when cgroup.events changes (POLLPRI), but holds that back for 10 to
// 20 ms after it last did; so this also looks by itself, first soon and then less and less often.
func (c *Cgroup) WaitEmpty(limit time.Duration) bool {
	begin := time.Now()
	for wait := firstWait; ; {
		is, err := c.Populated()
		if err != nil || !is {
			return err == nil
		}
		switch passed := time.Since(begin); {
		case passed >= limit:
			return false
		case passed < firstWait:
			sys.Yield()
			runtime.Gosched()
		default:
			time.Sleep(min(wait, limit-passed))
			wait = min(2*wait, lastWait)
		}
	}
}

// PIDs appends everybody in it and in those below it, as PIDs of this process's namespace; who has
// none there is left out. Zombies are not in a cgroup any more. Who comes or moves meanwhile may be
// missed or be there twice.
func (c *Cgroup) PIDs(pids []int) ([]int, error) { return c.pids(pids, time.Time{}) }

func (c *Cgroup) pids(pids []int, until time.Time) ([]int, error) {
	buf := make([]byte, 4<<10)
	first := true
	var failed error
	err := walkCgroups(c.dir, until, cgroupVisitor{
		visit: func(dir int) {
			var err error
			pids, err = appendProcs(pids, dir, buf)
			// A threaded cgroup has no list: who is in it is on the list of the one above, unless
			// this is the first.
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
	err := readList(dir, "cgroup.procs", buf, func(some []int) bool {
		pids = append(pids, some...)
		return true
	})
	return pids, err
}

// readList visits the numbers in a list of a cgroup, some at a time, until visit has seen enough.
// The slice is used again.
func readList(dir int, list string, buf []byte, visit func(some []int) (more bool)) error {
	fd, err := openat(dir, list, unix.O_RDONLY)
	if err != nil {
		return gone(err)
	}
	defer sys.Close(fd)
	var some []int
	kept := 0
	for {
		n, err := sys.Read(fd, buf[kept:])
		if err != nil {
			return gone(err)
		}
		kept += n
		whole := bytes.LastIndexByte(buf[:kept], '\n') + 1
		some = parseProcs(some[:0], buf[:whole])
		kept = copy(buf, buf[whole:kept])
		if !visit(some) || n == 0 || kept == len(buf) {
			return nil
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

// parseProcs appends the PIDs in the text of cgroup.procs, a line each. 0 stands for a process that
// has no PID here.
func parseProcs(pids []int, b []byte) []int {
	for line := range bytes.Lines(b) {
		if pid, err := strconv.Atoi(string(bytes.TrimSuffix(line, []byte("\n")))); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Remove removes it, and everything below it. If somebody is in it, it waits for their end, limit
// at most; the time that it takes in all is hardly more. The descriptors are closed in any case. An
// error says what is left.
func (c *Cgroup) Remove(limit time.Duration) error {
	defer c.close()
	err := unix.Unlinkat(c.parent, c.name, unix.AT_REMOVEDIR)
	if !isInUse(err) {
		return c.removed(err)
	}
	for _, pid := range nsutil.Family() {
		if c.holds(pid) {
			c.moveOut(pid)
		}
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
	list := ""
	for i, pid := range pids {
		if i == maxNamed {
			list += ", …"
			break
		}
		list += ", " + strconv.Itoa(pid)
	}
	are := text.Plural(len(pids), "process is", "processes are")
	return c.removed(fmt.Errorf("%s in it (pid %s): %w", are, strings.TrimPrefix(list, ", "), err))
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
