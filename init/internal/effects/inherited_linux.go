//go:build amd64 || arm64

package effects

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// What the caller had open is the command's alone: finite lets go of it once the command has it.

// leaveCaller closes what the caller had open, once: it is the command's. What the options name
// stays, and standard error. A file system that does not answer holds up the goroutine that closes,
// and no other. It may be called by any goroutine.
//
// It comes a little after the start: a command that has ended by then keeps no reader waiting.
func (k *Linked) leaveCaller() { k.left.Do(k.closeInherited) }

func (k *Linked) closeInherited() {
	keep := append([]int{unix.Stderr}, k.Lifeline...)
	for _, target := range k.Records {
		var fd int
		if _, err := fmt.Sscanf(target, "fd:%d", &fd); err == nil {
			keep = append(keep, fd)
		}
	}
	go CloseCallers(keep)
}

// CloseCallers closes what the caller had open. Own descriptors are closed when something is
// executed, the caller's are not.
func CloseCallers(keep []int) {
	for _, fd := range ownDescriptors() {
		if slices.Contains(keep, fd) {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

// ownDescriptors lists the descriptors of this process. The command may have mounted something
// over /proc: then it lists what they may be.
func ownDescriptors() (fds []int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil {
			fds = append(fds, fd)
		}
	}
	const few = 1024
	for fd := 0; fd < few && len(entries) == 0; fd++ {
		fds = append(fds, fd)
	}
	return fds
}
