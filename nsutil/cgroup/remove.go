package cgroup

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/internal/text"
	"github.com/finite-init/finite/nsutil"
)

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

// removeBelow removes every cgroup below dir that can be removed, the lowest first, and returns the
// first error of one that cannot.
func removeBelow(dir int, until time.Time) error {
	var failed error
	err := walkCgroups(dir, until, cgroupVisitor{
		enter: func(dir int, name string) bool {
			return isInUse(unix.Unlinkat(dir, name, unix.AT_REMOVEDIR))
		},
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

// removeStale removes those of the cgroups in a directory that were made by a process that is gone
// and hold nobody. One that somebody is still in is left as it is. What fails is left for the next
// one to try.
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
	if flock(fd) != nil || sameMount(up, fd) != nil {
		return // it has an owner, or is another's that was mounted there
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
