//go:build amd64

package faults

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// call is a system call that finite makes, and how it can fail. The errnos are those of its manual
// page, and ENOSYS and EPERM where a kernel or a seccomp filter may lack or refuse it. Errnos that
// only a mistake of the caller brings about (EBADF, EFAULT, ENOTSOCK), or that would be untrue
// (ESRCH and ECHILD of a process that is there, EPIPE and ECONNRESET of a socket whose other end is
// open, EAGAIN of what can be read, ENOEXEC of a binary), are not among them.
type call struct {
	name   string
	number int
	errnos string
	hangs  bool // on a file system, a device or a lock that does not answer
}

var calls = []call{
	{"close_range", unix.SYS_CLOSE_RANGE, "ENOMEM ENOSYS EPERM", true},
	{"chdir", unix.SYS_CHDIR, "EACCES EIO ELOOP ENOENT ENOMEM", true},
	{"clone", unix.SYS_CLONE, "EAGAIN EINVAL ENOMEM ENOSPC EPERM", false},
	{"clone3", unix.SYS_CLONE3, "EACCES EAGAIN EBUSY EINVAL ENOMEM ENOSYS ENOTSUP EPERM", false},
	{"close", unix.SYS_CLOSE, "EDQUOT EINTR EIO ENOSPC", true},
	{"dup3", unix.SYS_DUP3, "EBUSY EINTR EMFILE", false},
	{"epoll_create1", unix.SYS_EPOLL_CREATE1, "EMFILE ENFILE ENOMEM", false},
	{"epoll_ctl", unix.SYS_EPOLL_CTL, "ENOMEM ENOSPC EPERM", false},
	{"epoll_pwait", unix.SYS_EPOLL_PWAIT, "EINTR", false},
	{"eventfd2", unix.SYS_EVENTFD2, "EMFILE ENFILE ENODEV ENOMEM", false},
	{"execve", unix.SYS_EXECVE, "E2BIG EACCES EAGAIN EIO ELIBBAD ELOOP EMFILE ENFILE ENOENT ENOMEM EPERM ETXTBSY", true},
	{"faccessat", unix.SYS_FACCESSAT, "EACCES EIO ENOENT ENOMEM EROFS", true},
	{"faccessat2", unix.SYS_FACCESSAT2, "EACCES EIO ENOENT ENOMEM ENOSYS EPERM EROFS", true},
	{"fchdir", unix.SYS_FCHDIR, "EACCES EIO", true},
	{"fchmod", unix.SYS_FCHMOD, "EIO EPERM EROFS", true},
	{"fcntl", unix.SYS_FCNTL, "EACCES EAGAIN EINTR EINVAL EMFILE ENOLCK EPERM", false},
	{"flock", unix.SYS_FLOCK, "EAGAIN EINTR ENOLCK", true},
	{"fstat", unix.SYS_FSTAT, "ENOMEM EOVERFLOW", true},
	{"fstatfs", unix.SYS_FSTATFS, "EINTR EIO ENOMEM ENOSYS", true},
	{"fsync", unix.SYS_FSYNC, "EDQUOT EINTR EIO ENOSPC EROFS", true},
	{"ftruncate", unix.SYS_FTRUNCATE, "EFBIG EINTR EIO EPERM EROFS", true},
	{"futex", unix.SYS_FUTEX, "EAGAIN EINTR", false}, // of FUTEX_WAIT
	{"getdents64", unix.SYS_GETDENTS64, "EIO ENOENT", true},
	{"getpgid", unix.SYS_GETPGID, "EPERM", false},
	{"getsid", unix.SYS_GETSID, "EPERM", false},
	{"ioctl", unix.SYS_IOCTL, "EIO ENOTTY EPERM", false},
	{"kill", unix.SYS_KILL, "EPERM", false},
	{"madvise", unix.SYS_MADVISE, "EAGAIN EINVAL EIO ENOMEM EPERM", false},
	{"mkdirat", unix.SYS_MKDIRAT, "EACCES EDQUOT EEXIST EMLINK ENOENT ENOMEM ENOSPC EPERM EROFS", true},
	{"mlock2", unix.SYS_MLOCK2, "EAGAIN EINVAL ENOMEM ENOSYS EPERM", false},
	{"mmap", unix.SYS_MMAP, "EAGAIN ENOMEM", false},
	{"mount", unix.SYS_MOUNT, "EACCES EBUSY ENODEV ENOENT ENOMEM EPERM", true},
	{"munmap", unix.SYS_MUNMAP, "ENOMEM", false},
	{"nanosleep", unix.SYS_NANOSLEEP, "EINTR", false},
	{"newfstatat", unix.SYS_NEWFSTATAT, "EACCES ELOOP ENOENT ENOMEM", true},
	{"openat", unix.SYS_OPENAT, "EACCES EDQUOT EINTR EIO ELOOP EMFILE ENFILE ENOENT ENOMEM ENOSPC EPERM EROFS", true},
	{"openat2", unix.SYS_OPENAT2, "EACCES EAGAIN EINTR EIO ELOOP EMFILE ENFILE ENOENT ENOMEM ENOSYS EPERM", true},
	{"pidfd_open", unix.SYS_PIDFD_OPEN, "EINVAL EMFILE ENFILE ENODEV ENOMEM ENOSYS EPERM", false},
	{"pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, "ENOSYS EPERM", false},
	{"pipe2", unix.SYS_PIPE2, "EMFILE ENFILE", false},
	{"ppoll", unix.SYS_PPOLL, "EINTR EINVAL ENOMEM", false},
	{"prctl", unix.SYS_PRCTL, "EACCES EBUSY EINVAL EPERM", false},
	{"pread64", unix.SYS_PREAD64, "EINTR EIO", true},
	{"prlimit64", unix.SYS_PRLIMIT64, "EPERM", false},
	{"pselect6", unix.SYS_PSELECT6, "EINTR ENOMEM", false},
	{"pwrite64", unix.SYS_PWRITE64, "EDQUOT EFBIG EINTR EIO ENOSPC EPERM", true},
	{"read", unix.SYS_READ, "EINTR EIO", true},
	{"readlinkat", unix.SYS_READLINKAT, "EACCES EIO ELOOP ENOENT ENOMEM", true},
	{"recvmsg", unix.SYS_RECVMSG, "EINTR ENOMEM", false},
	{"renameat", unix.SYS_RENAMEAT, "EACCES EBUSY EDQUOT EIO ENOENT ENOMEM ENOSPC EPERM EROFS", true},
	{"rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, "EAGAIN EINTR", false},
	{"sched_getaffinity", unix.SYS_SCHED_GETAFFINITY, "EINVAL EPERM", false},
	{"sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, "EINVAL EPERM", false},
	{"sendmsg", unix.SYS_SENDMSG, "EAGAIN EINTR ENOBUFS ENOMEM ETOOMANYREFS", false},
	{"sethostname", unix.SYS_SETHOSTNAME, "EPERM", false},
	{"setpgid", unix.SYS_SETPGID, "EACCES EPERM", false},
	{"setsid", unix.SYS_SETSID, "EPERM", false},
	{"signalfd4", unix.SYS_SIGNALFD4, "EMFILE ENFILE ENODEV ENOMEM", false},
	{"socketpair", unix.SYS_SOCKETPAIR, "EAFNOSUPPORT EMFILE ENFILE ENOMEM", false},
	{"statx", unix.SYS_STATX, "EACCES ELOOP ENOENT ENOMEM ENOSYS EPERM", true},
	{"tgkill", unix.SYS_TGKILL, "EAGAIN EPERM", false},
	{"timer_create", unix.SYS_TIMER_CREATE, "EAGAIN ENOMEM EPERM", false},
	{"timer_settime", unix.SYS_TIMER_SETTIME, "EPERM", false},
	{"timerfd_create", unix.SYS_TIMERFD_CREATE, "EMFILE ENFILE ENODEV ENOMEM EPERM", false},
	{"timerfd_settime", unix.SYS_TIMERFD_SETTIME, "ECANCELED EPERM", false},
	{"unlinkat", unix.SYS_UNLINKAT, "EACCES EBUSY EIO ENOENT ENOMEM EPERM EROFS", true},
	{"unshare", unix.SYS_UNSHARE, "EINVAL ENOMEM ENOSPC EPERM EUSERS", false},
	{"write", unix.SYS_WRITE, "EAGAIN EDQUOT EFBIG EINTR EIO ENOSPC EPERM EPIPE", true},

	// By their manual pages these fail of mistakes alone. They are late, and processes are killed
	// and stopped at them.
	{"arch_prctl", unix.SYS_ARCH_PRCTL, "", false},
	{"clock_gettime", unix.SYS_CLOCK_GETTIME, "", false},
	{"exit", unix.SYS_EXIT, "", false},
	{"exit_group", unix.SYS_EXIT_GROUP, "", false},
	{"getcpu", unix.SYS_GETCPU, "", false},
	{"getpid", unix.SYS_GETPID, "", false},
	{"getppid", unix.SYS_GETPPID, "", false},
	{"gettid", unix.SYS_GETTID, "", false},
	{"restart_syscall", unix.SYS_RESTART_SYSCALL, "", false},
	{"rt_sigaction", unix.SYS_RT_SIGACTION, "", false},
	{"rt_sigpending", unix.SYS_RT_SIGPENDING, "", false},
	{"rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, "", false},
	{"rt_sigreturn", unix.SYS_RT_SIGRETURN, "", false},
	{"sched_yield", unix.SYS_SCHED_YIELD, "", false},
	{"sigaltstack", unix.SYS_SIGALTSTACK, "", false},
	{"waitid", unix.SYS_WAITID, "", false}, // with WNOHANG
}

// Faults that are no errno.
const (
	faultKill  = "SIGKILL" // to the process
	faultStop  = "SIGSTOP"
	faultDelay = "delay" // the call is late
	faultHang  = "hang"  // the call never begins; SIGKILL ends its process
)

func callNamed(name string) *call {
	for i := range calls {
		if calls[i].name == name {
			return &calls[i]
		}
	}
	return nil
}

func callNumbered(number int) *call {
	for i := range calls {
		if calls[i].number == number {
			return &calls[i]
		}
	}
	return nil
}

// errnoNamed is an errno by its name, 0 where there is none.
func errnoNamed(name string) syscall.Errno {
	for e := syscall.Errno(1); e < 134; e++ {
		if unix.ErrnoName(e) == name {
			return e
		}
	}
	return 0
}

// faultsOf are the faults of one call.
func faultsOf(c *call) []string {
	all := append(strings.Fields(c.errnos), faultKill, faultStop, faultDelay)
	if c.hangs {
		all = append(all, faultHang)
	}
	return all
}

// Every errno of the table has a number, and every call is there once.
func TestTable(t *testing.T) {
	numbers := map[int]bool{}
	for _, c := range calls {
		for name := range strings.FieldsSeq(c.errnos) {
			if errnoNamed(name) == 0 {
				t.Errorf("%s: no errno is called %s", c.name, name)
			}
		}
		if numbers[c.number] {
			t.Errorf("%s is there twice", c.name)
		}
		numbers[c.number] = true
	}
}
