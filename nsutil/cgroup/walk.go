package cgroup

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

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
	if flock(fd) != nil || !sameMount(up, fd) {
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

// removeBelow removes every cgroup below dir that can be removed, the lowest first, and returns the
// first error of one that cannot.
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

// errMountedOver is for a directory that leads to something else than the cgroup that was made
// there.
var errMountedOver = errors.New("something is mounted over it")

// walkCgroups walks over a cgroup and those below it. How deep they are, and how many, was the
// command's to choose: this is no recursion, holds two descriptors, and ends at a point in time, if
// that is not zero. Names that vanish are passed over. It does not go into what has been mounted
// over a directory, which may be anything, a cgroup of others' included. Directories of cgroup2
// cannot be moved, so ".." is where it came from.
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
