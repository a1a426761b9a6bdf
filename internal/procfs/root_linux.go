package procfs

import (
	"errors"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// ErrNoProc is why a subreaper can find no descendants but its children.
var ErrNoProc = errors.New("/proc is not mounted, or not this PID namespace's")

// IsCovered reports whether an error says that something is mounted over a file of the procfs.
func IsCovered(err error) bool { return errors.Is(err, unix.EXDEV) }

// root is a descriptor of /proc, plus 1: the directory as it was before a command could mount
// something over it. It stays open; 0: there is none.
var root atomic.Int64

// Use has /proc read below a descriptor that was opened before the command was started.
func Use(fd int) {
	if isProc(fd) {
		root.Store(int64(fd) + 1)
	}
}

// Hold opens /proc, unless it is open. What is mounted over it after that is not read.
func Hold() error {
	if root.Load() != 0 {
		return nil
	}
	fd, err := sys.Open("/proc", unix.O_PATH|unix.O_DIRECTORY)
	switch {
	case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE):
		return err
	case err != nil:
		return ErrNoProc
	case !isProc(fd):
		sys.Close(fd)
		return ErrNoProc
	}
	if !root.CompareAndSwap(0, int64(fd)+1) {
		sys.Close(fd) // another goroutine was first
	}
	return nil
}

func isProc(fd int) bool {
	var fs unix.Statfs_t
	return fd >= 0 && unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

const here = unix.AT_FDCWD

// place returns a directory and the path of a file below it.
func (p *Proc) place(name string) (dir int, path string, err error) {
	if p.Root != "" {
		return here, p.Root + "/" + name, nil
	}
	if err := Hold(); err != nil {
		return -1, "", err
	}
	return int(root.Load() - 1), name, nil
}

// Open opens a file of the procfs for reading, as the function Open does.
func (p *Proc) Open(name string, flags int) (int, error) {
	if p.Root != "" {
		return open(here, p.Root+"/"+name, flags)
	}
	return Open(name, flags)
}

// Open opens a file of /proc for reading. What somebody has mounted over the file is EXDEV
// (openat2(2), Linux 5.6). Older kernels open that; it is EXDEV if it is of no procfs.
func Open(name string, flags int) (int, error) {
	if err := Hold(); err != nil {
		return -1, err
	}
	dir := int(root.Load() - 1)
	how := unix.OpenHow{Flags: uint64(unix.O_RDONLY | unix.O_CLOEXEC | flags), Resolve: unix.RESOLVE_NO_XDEV}
	fd, err := openat2(dir, name, &how)
	if err != unix.ENOSYS && err != unix.EPERM && err != unix.EINVAL {
		return fd, err
	}
	if fd, err = open(dir, name, flags|unix.O_NONBLOCK); err != nil {
		return -1, err
	}
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) == nil && fs.Type != unix.PROC_SUPER_MAGIC { // gVisor does not tell
		sys.Close(fd)
		return -1, unix.EXDEV
	}
	return fd, nil
}

// open is openat(2). The runtime is told, so that others go on where the file system does not
// answer.
func open(dir int, path string, flags int) (int, error) {
	return sys.Retry(func() (int, error) {
		return unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC|flags, 0)
	})
}

func openat2(dir int, path string, how *unix.OpenHow) (int, error) {
	return sys.Retry(func() (int, error) { return unix.Openat2(dir, path, how) })
}
