//go:build amd64 || arm64

package signals

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// init undoes what entry did to the environment, before anybody copies it, and to the limit of open files, before anybody opens one.
func init() {
	if !entered() {
		return
	}
	*entryEnvEnd = nil
	for i := 0; at(entryEnv, i) != nil; i++ {
		if name := unsafe.Slice(at(entryEnv, i), 2); name[0] == 1 && name[1] == 'O' {
			name[0] = 'G'
		}
	}
	// As the runtime would have it. This is also how package syscall hears that it is not to give a command what it found at the start.
	if inheritedFiles.Max > 0 {
		_ = syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: inheritedFiles.Max, Max: inheritedFiles.Max})
	}
}

// Environ returns the environment that the process was started with. Where the process began at entry, os.Environ is wrong about variables
// that begin with GO: entry hides them from the runtime, which has taken a copy by then.
func Environ() []string {
	if !entered() {
		return os.Environ()
	}
	n := 0
	for at(entryEnv, n) != nil {
		n++
	}
	env := make([]string, n)
	for i := range env {
		p := at(entryEnv, i)
		env[i] = unsafe.String(p, cLength(p)) // it stays where the kernel has put it
	}
	return env
}

// cLength returns the length of a string that a zero byte ends.
func cLength(p *byte) (n int) {
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return n
}

// at returns the i-th element of an array of pointers.
func at(array **byte, i int) *byte {
	return *(**byte)(unsafe.Add(unsafe.Pointer(array), uintptr(i)*unsafe.Sizeof(array)))
}

// AtStart returns what the process was started with, and whether that is known: it is if the process began at entry.
func AtStart() (Inherited, bool) {
	return Inherited{
		Mask: inheritedMask, Ignored: inheritedIgnored, Files: inheritedFiles, TimerSlack: time.Duration(max(0, inheritedSlack)),
	}, entered()
}
