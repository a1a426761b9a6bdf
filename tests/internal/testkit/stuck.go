package testkit

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A file of a FUSE file system whose server reads every request and answers none but the first (INIT): whoever opens it sleeps in the kernel, SIGKILL or not,
// until the connection is aborted (fuse(4)).

// MountStuck makes path such a file, in this mount namespace.
func MountStuck(path string) error {
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("/dev/fuse: %w", err)
	}
	if err := unix.Mount("stuck", path, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=100644,user_id=0,group_id=0", fd)); err != nil {
		return fmt.Errorf("mount of a FUSE file: %w", err)
	}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			n, err := unix.Read(fd, buf)
			if err == unix.ENODEV {
				return // aborted
			}
			const opInit = 26
			if err == nil && n >= 16 && binary.NativeEndian.Uint32(buf[4:]) == opInit {
				answerInit(fd, binary.NativeEndian.Uint64(buf[8:]))
			}
		}
	}()
	return nil
}

// answerInit writes a fuse_out_header and a fuse_init_out.
func answerInit(fd int, unique uint64) {
	var answer [16 + 64]byte
	e := binary.NativeEndian
	e.PutUint32(answer[0:], uint32(len(answer)))
	e.PutUint64(answer[8:], unique)
	e.PutUint32(answer[16:], 7)    // major
	e.PutUint32(answer[20:], 31)   // minor
	e.PutUint32(answer[36:], 4096) // max_write
	_, _ = unix.Write(fd, answer[:])
}

// AbortStuck lets everybody go.
func AbortStuck(path string) { _ = unix.Unmount(path, unix.MNT_FORCE|unix.MNT_DETACH) }
