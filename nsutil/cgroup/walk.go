package cgroup

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

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
// over a directory, which may be anything, a cgroup of others' included.
func walkCgroups(top int, until time.Time, v cgroupVisitor) error {
	_, mount, err := identity(top, "")
	if err != nil {
		return err
	}
	dir, err := openat(top, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return gone(err)
	}
	w := walker{cgroupVisitor: v, dir: dir, mount: mount, buf: make([]byte, 8<<10)}
	defer func() { sys.Close(w.dir) }()
	for err = w.arrive(""); err == nil; {
		if !until.IsZero() && time.Now().After(until) {
			return unix.ETIME
		}
		name, ok := w.next()
		switch {
		case ok:
			err = w.down(name)
		case len(w.levels) == 1:
			return w.skipped
		default:
			err = w.up()
		}
	}
	return err
}

// walker is where a walk is.
type walker struct {
	cgroupVisitor
	dir     int    // a descriptor
	mount   uint64 // the number of the mount that everything is reached through
	levels  []level
	skipped error // why something was left out
	buf     []byte
}

// level is a directory from the first one to where a walk is.
type level struct {
	name  string
	below []string // still to be visited
}

// next takes the next name off those that are to be visited below the directory.
func (w *walker) next() (name string, ok bool) {
	below := &w.levels[len(w.levels)-1].below
	n := len(*below)
	if n == 0 {
		return "", false
	}
	name, *below = (*below)[n-1], (*below)[:n-1]
	return name, true
}

// arrive visits the directory, which the walk has come to.
func (w *walker) arrive(name string) error {
	if w.visit != nil {
		w.visit(w.dir)
	}
	below, err := directories(w.dir, w.buf)
	w.levels = append(w.levels, level{name, below})
	return err
}

// down goes into a directory, unless it is left out.
func (w *walker) down(name string) error {
	if w.enter != nil && !w.enter(w.dir, name) || !w.change(name) {
		return nil
	}
	return w.arrive(name)
}

// change makes name the directory of the walk, and reports whether that is possible. If not,
// skipped says why, unless name has vanished.
func (w *walker) change(name string) bool {
	next, err := openat(w.dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		if w.skipped == nil {
			w.skipped = gone(err)
		}
		return false
	}
	if _, mount, err := identity(next, ""); err != nil || mount != w.mount || mount == 0 {
		sys.Close(next)
		w.skipped = fmt.Errorf("%s: %w", name, errMountedOver)
		return false
	}
	sys.Close(w.dir)
	w.dir = next
	return true
}

// up leaves the directory for the one above. Directories of cgroup2 cannot be moved, so ".." is
// where the walk came from.
func (w *walker) up() error {
	above, err := openat(w.dir, "..", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	sys.Close(w.dir)
	w.dir = above
	last := w.levels[len(w.levels)-1]
	if w.leave != nil {
		w.leave(w.dir, last.name)
	}
	w.levels = w.levels[:len(w.levels)-1]
	return nil
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
