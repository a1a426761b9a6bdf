package cgroup

import (
	"bytes"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openat is openat(2) with O_CLOEXEC and without following a symbolic link at the end. A signal
// does not interrupt it: no file of a cgroup waits for anybody when it is opened.
func openat(dir int, name string, flags int) (int, error) {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return -1, err
	}
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(unsafe.Pointer(p)),
		uintptr(flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_LARGEFILE), 0, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// readStart is pread(2) from the start of a file: what a file of the kernel's says now, without
// opening it again.
func readStart(fd int, p []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// identity returns a file's inode number and the number of the mount that it is reached through
// (statx(2), Linux 5.8; 0 before). An empty name means dir itself.
func identity(dir int, name string) (inode, mount uint64, err error) {
	p, err := unix.BytePtrFromString(name)
	if err != nil {
		return 0, 0, err
	}
	var st unix.Statx_t
	_, _, errno := unix.RawSyscall6(unix.SYS_STATX, uintptr(dir), uintptr(unsafe.Pointer(p)),
		unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, uintptr(unsafe.Pointer(&st)), 0)
	if errno != 0 {
		return 0, 0, errno
	}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		mount = st.Mnt_id
	}
	return st.Ino, mount, nil
}

// sameMount returns an error unless two directories are reached through the same mount, as far as
// the kernel tells.
func sameMount(a, b int) error {
	_, first, err := identity(a, "")
	if err != nil {
		return fmt.Errorf("statx: %w", err)
	}
	_, second, err := identity(b, "")
	if err != nil {
		return fmt.Errorf("statx: %w", err)
	}
	if first != second {
		return errMountedOver
	}
	return nil
}

// writeStart is pwrite(2) at the start of a file that takes what is written as one command.
func writeStart(fd int, p []byte) error {
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// Offsets in a struct linux_dirent64.
const (
	direntLength = 16 // uint16, of the whole record
	direntType   = 18
	direntName   = 19 // up to a zero byte
)

// nextDirent takes one entry off what getdents64(2) wrote. At the end, and where there is no whole
// entry, rest is nil.
func nextDirent(b []byte) (name string, isDir bool, rest []byte) {
	if len(b) <= direntName {
		return "", false, nil
	}
	length := int(*(*uint16)(unsafe.Pointer(&b[direntLength])))
	if length <= direntName || length > len(b) {
		return "", false, nil
	}
	text := b[direntName:length]
	if end := bytes.IndexByte(text, 0); end >= 0 {
		text = text[:end]
	}
	return string(text), b[direntType] == unix.DT_DIR, b[length:]
}
