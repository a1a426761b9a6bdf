package testkit

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Served is a file of a FUSE file system that answers for as long as it is told to (fuse(4),
// linux/fuse.h).
type Served struct {
	fd      int
	content []byte
	mute    [64]atomic.Bool // the operations that are not answered
}

// The operations that are of interest.
const (
	FuseRead  = 15
	FuseFlush = 25
)

const (
	fuseGetattr = 3
	fuseSetattr = 4
	fuseOpen    = 14
	fuseWrite   = 16
	fuseRelease = 18
	fuseInit    = 26

	fuseHeader = 40 // bytes of fuse_in_header
)

// ServeFile mounts an executable file over path, of the content that path has.
func ServeFile(path string) (*Served, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &Served{content: content}
	return s, s.mount(path, 4, "rootmode=100755,allow_other") // one that waits for its own answer is not enough
}

// MountStuck makes path a file that answers nothing but the first request (INIT), in this mount
// namespace: whoever opens it sleeps in the kernel, SIGKILL or not, until the connection is
// aborted.
func MountStuck(path string) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	s := &Served{}
	s.Mute(0)
	return s.mount(path, 1, "rootmode=100644")
}

// AbortStuck lets everybody go.
func AbortStuck(path string) { _ = unix.Unmount(path, unix.MNT_FORCE|unix.MNT_DETACH) }

// mount mounts the file, and has so many goroutines answer.
func (s *Served) mount(path string, servers int, options string) (err error) {
	if s.fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("/dev/fuse: %w", err)
	}
	options = fmt.Sprintf("fd=%d,user_id=0,group_id=0,%s", s.fd, options)
	if err := unix.Mount("served", path, "fuse", 0, options); err != nil {
		return fmt.Errorf("mount of a FUSE file: %w", err)
	}
	for range servers {
		go s.serve()
	}
	return nil
}

// Mute leaves an operation without an answer from now on, and every one but INIT where it is 0.
func (s *Served) Mute(op int) {
	for i := range s.mute {
		if i != fuseInit && (op == 0 || i == op) {
			s.mute[i].Store(true)
		}
	}
}

func (s *Served) serve() {
	buf := make([]byte, 1<<17)
	e := binary.NativeEndian
	for {
		n, err := unix.Read(s.fd, buf)
		if err == unix.ENODEV {
			return // it was unmounted
		}
		if err != nil || n < fuseHeader {
			continue
		}
		op, unique, args := e.Uint32(buf[4:]), e.Uint64(buf[8:]), buf[fuseHeader:n]
		if op < uint32(len(s.mute)) && s.mute[op].Load() {
			continue
		}
		switch op {
		case fuseInit:
			s.answer(unique, 0, version())
		case fuseGetattr, fuseSetattr:
			s.answer(unique, 0, s.attributes())
		case fuseOpen:
			s.answer(unique, 0, make([]byte, 16))
		case FuseRead:
			from := min(e.Uint64(args[8:]), uint64(len(s.content)))
			to := min(from+uint64(e.Uint32(args[16:])), uint64(len(s.content)))
			s.answer(unique, 0, s.content[from:to])
		case fuseWrite:
			s.answer(unique, 0, append(append([]byte{}, args[16:20]...), 0, 0, 0, 0))
		case FuseFlush, fuseRelease:
			s.answer(unique, 0, nil)
		default:
			s.answer(unique, -int32(unix.ENOSYS), nil)
		}
	}
}

// version is a fuse_init_out.
func version() []byte {
	out := make([]byte, 64)
	e := binary.NativeEndian
	e.PutUint32(out, 7)         // major
	e.PutUint32(out[4:], 31)    // minor
	e.PutUint32(out[20:], 4096) // max_write
	return out
}

// attributes is a fuse_attr_out.
func (s *Served) attributes() []byte {
	out := make([]byte, 104)
	e := binary.NativeEndian
	e.PutUint64(out, 3600) // s that it is good for
	attr := out[16:]
	e.PutUint64(attr, 1) // inode
	e.PutUint64(attr[8:], uint64(len(s.content)))
	e.PutUint32(attr[60:], unix.S_IFREG|0o755)
	e.PutUint32(attr[64:], 1) // links
	e.PutUint32(attr[80:], 4096)
	return out
}

// answer writes a fuse_out_header and what follows.
func (s *Served) answer(unique uint64, errno int32, data []byte) {
	out := make([]byte, 16+len(data))
	e := binary.NativeEndian
	e.PutUint32(out, uint32(len(out)))
	e.PutUint32(out[4:], uint32(errno))
	e.PutUint64(out[8:], unique)
	copy(out[16:], data)
	_, _ = unix.Write(s.fd, out)
}
