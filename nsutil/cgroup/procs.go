package cgroup

import (
	"bytes"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
)

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
		if pid, ok := procfs.ParsePID(bytes.TrimSuffix(line, []byte("\n"))); ok {
			pids = append(pids, pid)
		}
	}
	return pids
}
