package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
)

// Proc reads a mounted procfs. It holds a buffer that is used again for every read, so one Proc
// belongs to one goroutine.
type Proc struct {
	Root  string // empty: /proc; a test may name another directory
	files Files  // nil: the kernel's
	buf   []byte
	path  []byte
	dir   []byte
	seen  bool // it was mounted when it was asked last
}

// Files is a procfs that a test simulates. Names are relative to its directory.
type Files interface {
	// Self returns what the procfs calls self, and the number of this process.
	Self() (link string, pid int)
	// ReadFile reads a file into buf, or into a longer one, which it returns to be used again.
	ReadFile(name string, buf []byte) (text, longer []byte, err error)
	// Numbers lists the entries of a directory whose names are numbers.
	Numbers(name string) ([]int, error)
	// Links returns how many links a directory has.
	Links(name string) (int, error)
}

// NewProc returns a reader of /proc.
func NewProc() *Proc {
	return &Proc{buf: make([]byte, 16<<10), dir: make([]byte, 8<<10)}
}

// NewProcOf returns a reader of a simulated procfs.
func NewProcOf(files Files) *Proc {
	p := NewProc()
	p.files = files
	return p
}

// Mounted reports whether this is the procfs of the reader's own PID namespace. A container without
// /proc and one that sees its host's are both "no"; the numbers in the latter are other processes'.
// What the procfs calls self must be this process, and this process must have no further number in
// a namespace below the procfs's (NSpid, Linux 4.1).
func (p *Proc) Mounted() bool {
	self, ok := p.self()
	if !ok {
		return false
	}
	status, err := p.Status(self)
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
		return p.seen // there is no descriptor to ask with
	}
	p.seen = err == nil && len(status.NSpid) <= 1
	return p.seen
}

// self returns the number of this process, and reports whether the procfs calls it self.
func (p *Proc) self() (pid int, ok bool) {
	if p.files != nil {
		link, pid := p.files.Self()
		return pid, link == strconv.Itoa(pid)
	}
	var target [16]byte
	pid = unix.Getpid()
	dir, path, err := p.place("self")
	if err != nil {
		return pid, false
	}
	n, err := sys.Readlink(dir, path, target[:])
	return pid, err == nil && string(target[:n]) == strconv.Itoa(pid)
}

// Read returns the content of the file name of a process. The bytes are valid until the next call.
func (p *Proc) Read(pid int, name string) ([]byte, error) {
	p.path = strconv.AppendInt(p.path[:0], int64(pid), 10)
	p.path = append(p.path, '/')
	p.path = append(p.path, name...)
	return p.ReadFile(string(p.path))
}

// ReadFile returns the content of a file of the procfs. The bytes are valid until the next call.
func (p *Proc) ReadFile(name string) (text []byte, err error) {
	if p.files != nil {
		text, p.buf, err = p.files.ReadFile(name, p.buf)
		return text, err
	}
	fd, err := p.Open(name, 0)
	return p.readAll(fd, name, err)
}

// ReadPath returns the content of another file. The bytes are valid until the next call.
func (p *Proc) ReadPath(path string) ([]byte, error) {
	fd, err := open(here, path, 0)
	return p.readAll(fd, path, err)
}

// readAll reads what was opened, with an error or without, to its end, and closes it.
func (p *Proc) readAll(fd int, name string, err error) (text []byte, _ error) {
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer sys.Close(fd)
	if text, p.buf, err = readToEnd(fd, p.buf); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// maxFile bounds what is read of a file: a list of 100000 mounts, the most that a mount namespace
// has by default (fs.mount-max), is shorter.
const maxFile = 32 << 20

// readToEnd reads a file to its end into buf, or into a longer one, which it returns to be used
// again. A file that is longer than maxFile is an error.
func readToEnd(fd int, buf []byte) (text, longer []byte, err error) {
	for total := 0; ; {
		if total >= maxFile {
			return nil, buf, fmt.Errorf("longer than %d bytes: %w", maxFile, ErrMalformed)
		}
		if total == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := read(fd, buf[total:])
		if err != nil {
			return nil, buf, err
		}
		if n <= 0 {
			return buf[:total], buf, nil
		}
		total += n
	}
}

// read is read(2) of a file that may wait for the process that it is about. The runtime is told, so
// that others go on.
func read(fd int, p []byte) (int, error) {
	return sys.Retry(func() (int, error) { return unix.Read(fd, p) })
}

// Files that only who may trace a process may read (stat in part, wchan, stack) hang for as long as
// the process is stuck in execve(2) behind the point of no return, where that closes its files. The
// others never do.

// Comm reads /proc/PID/comm.
func (p *Proc) Comm(pid int) (string, error) {
	b, err := p.Read(pid, "comm")
	return string(bytes.TrimSuffix(b, []byte("\n"))), err
}

// Stat reads /proc/PID/stat, which may hang.
func (p *Proc) Stat(pid int) (Stat, error) {
	b, err := p.Read(pid, "stat")
	if err != nil {
		return Stat{}, err
	}
	return ParseStat(b)
}

// Status reads /proc/PID/status.
func (p *Proc) Status(pid int) (Status, error) {
	b, err := p.Read(pid, "status")
	if err != nil {
		return Status{}, err
	}
	return ParseStatus(b)
}

// Parent reads the PID of a process's parent from /proc/PID/status, which never hangs.
func (p *Proc) Parent(pid int) (int, error) {
	b, err := p.Read(pid, "status")
	if err != nil {
		return 0, err
	}
	return parseParent(b)
}

// WChan reads the name of the kernel function that a process sleeps in from /proc/PID/wchan, which
// may hang; it is empty if the kernel does not tell.
func (p *Proc) WChan(pid int) string { return ParseWChan(p.Read(pid, "wchan")) }

// ParseWChan returns what a wchan file says, "" if that is nothing.
func ParseWChan(b []byte, err error) string {
	name := string(bytes.TrimSpace(b))
	if err != nil || name == "0" {
		return ""
	}
	return name
}

// Children appends the children of pid, those of all its threads, zombies included. It needs a
// kernel with CONFIG_PROC_CHILDREN; without it the error is ENOENT while the process exists.
func (p *Proc) Children(pids []int, pid int) ([]int, error) {
	task := strconv.Itoa(pid) + "/task"
	// Most processes have one thread, and then there is no need to list them: the directory has a
	// link for each, besides its two.
	if n, err := p.links(task); err == nil && n == 3 {
		if b, err := p.Read(pid, "task/"+strconv.Itoa(pid)+"/children"); err == nil {
			return AppendChildren(pids, b), nil
		}
	}
	tids, err := p.Numbers(task)
	if err != nil {
		return pids, err
	}
	read := false
	for _, tid := range tids {
		b, threadErr := p.Read(pid, "task/"+strconv.Itoa(tid)+"/children")
		if threadErr != nil {
			err = threadErr
			continue // that thread has ended, if it is not all of them
		}
		read = true
		pids = AppendChildren(pids, b)
	}
	if read {
		return pids, nil
	}
	return pids, err
}

func (p *Proc) links(name string) (int, error) {
	if p.files != nil {
		return p.files.Links(name)
	}
	dir, path, err := p.place(name)
	if err != nil {
		return 0, err
	}
	return sys.Links(dir, path)
}

// PIDs lists every process that this procfs shows.
func (p *Proc) PIDs() ([]int, error) { return p.Numbers(".") }

// Numbers lists the entries of a directory of the procfs whose names are PIDs or thread IDs.
func (p *Proc) Numbers(name string) ([]int, error) {
	if p.files != nil {
		return p.files.Numbers(name)
	}
	fd, err := p.Open(name, unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	defer sys.Close(fd)
	var found []int
	var names []string
	for {
		n, err := sys.ReadDirent(fd, p.dir)
		if err != nil {
			return nil, fmt.Errorf("getdents %s: %w", name, err)
		}
		if n <= 0 {
			return found, nil
		}
		_, _, names = unix.ParseDirent(p.dir[:n], -1, names[:0])
		for _, name := range names {
			if pid, ok := ParsePID(name); ok {
				found = append(found, pid)
			}
		}
	}
}

// ReadAll reads a whole file of a procfs into buf, or into a longer one. The runtime is told: lists
// of mounts and cgroups wait for whoever changes them. It is an error if the file is not a
// procfs's, and a FIFO in its place is not waited for.
func ReadAll(path string, buf []byte) ([]byte, error) {
	fd, err := sys.Open(path, unix.O_RDONLY|unix.O_NONBLOCK) // which may be somebody's FIFO
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer sys.Close(fd)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PROC_SUPER_MAGIC {
		return nil, fmt.Errorf("%s is not of a procfs", path)
	}
	text, _, err := readToEnd(fd, buf)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return text, nil
}
