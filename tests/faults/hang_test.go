//go:build amd64

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Why a call that hangs for ever is no fault of finite's, or does not happen.
const (
	frontHangs   = "the caller waits for the front alone, and the front calls nothing that hangs"
	keeperHangs  = "the keeper calls nothing that hangs"
	childHangs   = "without a deadline, a command that is not executed yet takes as long as one that runs"
	plannerHangs = "there is no command yet, and its deadline has not begun"
	objectHangs  = "the kernel alone is asked, and waits for nobody"
)

// isExempt says why a hang of such a process is not tried. It is empty where the run is to end
// nevertheless.
func isExempt(kind string, s *setting) string {
	switch {
	case kind == asFront:
		return frontHangs
	case kind == asKeeper:
		return keeperHangs
	case kind == asPlanner:
		return plannerHangs
	case kind == asChild && !s.hasDeadline():
		return childHangs
	}
	return ""
}

// objectOf is what a call is about: a path, or what a descriptor is (proc_pid_fd(5)).
func objectOf(tid int, info *stopInfo) string {
	fd, path := info.args[0], info.args[1]
	switch info.number {
	case unix.SYS_CHDIR, unix.SYS_EXECVE:
		return peekPath(tid, info.args[0])
	case unix.SYS_MOUNT:
		return peekPath(tid, info.args[1])
	case unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_NEWFSTATAT, unix.SYS_STATX, unix.SYS_MKDIRAT,
		unix.SYS_UNLINKAT, unix.SYS_RENAMEAT, unix.SYS_READLINKAT, unix.SYS_FACCESSAT, unix.SYS_FACCESSAT2:
		name := peekPath(tid, path)
		if filepath.IsAbs(name) {
			return name
		}
		if int32(fd) == unix.AT_FDCWD {
			dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", tid))
			return filepath.Join(dir, name)
		}
		return filepath.Join(descriptor(tid, fd), name)
	}
	return descriptor(tid, fd)
}

func descriptor(tid int, fd uint64) string {
	link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(fd)))
	return link
}

// canHang reports whether a call about an object can hang: one of a file system other than the
// kernel's own, of a pipe that nobody reads, or of a file of /proc that waits for another process.
func canHang(object string) bool {
	dir, name := filepath.Split(object)
	switch {
	case object == "" || object == "/" || object == "/proc" || strings.HasPrefix(object, "/dev/"),
		strings.HasPrefix(object, "anon_inode:"), strings.HasPrefix(object, "socket:"),
		strings.HasPrefix(object, "/sys/fs/cgroup"):
		return false
	case strings.HasPrefix(dir, "/proc/"):
		return strings.Contains(" auxv cmdline environ exe maps stack stat syscall wchan ", " "+name+" ")
	}
	return true
}
