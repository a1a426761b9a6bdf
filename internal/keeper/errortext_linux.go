//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// putError writes the meaning of a negative errno to the line that is being composed.
//
//go:nosplit
func putError(errno int) {
	if current >= 0 {
		appendError(lineAt(current), errno)
	}
}

// appendError writes the meaning of a negative errno, in the words of the Go runtime.
//
//go:nosplit
func appendError(l *line, errno int) {
	for i := range errorTexts {
		e := (*errorText)(unsafe.Add(unsafe.Pointer(&errorTexts), uintptr(i)*unsafe.Sizeof(errorText{})))
		if int(e.errno) == -errno {
			appendTo(l, e.text)
			return
		}
	}
	appendTo(l, "errno ")
	appendNumber(l, int64(-errno))
}

type errorText struct {
	errno unix.Errno
	text  string
}

// errorTexts are the errors of clone(2), execve(2), and the calls of a plan.
var errorTexts = [...]errorText{
	{unix.EPERM, "operation not permitted"},
	{unix.ENOENT, "no such file or directory"},
	{unix.EIO, "input/output error"},
	{unix.E2BIG, "argument list too long"},
	{unix.ENOEXEC, "exec format error"},
	{unix.EBUSY, "device or resource busy"},
	{unix.EAGAIN, "resource temporarily unavailable"},
	{unix.ENOMEM, "cannot allocate memory"},
	{unix.EACCES, "permission denied"},
	{unix.EFAULT, "bad address"},
	{unix.ENOTDIR, "not a directory"},
	{unix.EISDIR, "is a directory"},
	{unix.EINVAL, "invalid argument"},
	{unix.ENFILE, "too many open files in system"},
	{unix.EMFILE, "too many open files"},
	{unix.EFBIG, "file too large"},
	{unix.ENOSPC, "no space left on device"},
	{unix.EUSERS, "too many users"},
	{unix.ETXTBSY, "text file busy"},
	{unix.ENAMETOOLONG, "file name too long"},
	{unix.ENOSYS, "function not implemented"},
	{unix.ELOOP, "too many levels of symbolic links"},
	{unix.ELIBBAD, "accessing a corrupted shared library"},
	{unix.ESTALE, "stale file handle"},
}
