package procfs

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// longestComm is how long a process's name can be (TASK_COMM_LEN, without the zero byte).
const longestComm = 15

// A name of any bytes is the same in every file of /proc: the kernel writes the names.
func FuzzComm(f *testing.F) {
	for _, name := range []string{
		"sh", "", " a ", "a\nb", "\n", "\t", `a\nb`, `\`, `\\`, ") R 1 (", "State:\tZ", "\xff\x00\x01", "a b  ",
		"fifteen letters", "S\nState:\tT", "\r", "\v\f", "é",
	} {
		f.Add([]byte(name))
	}
	f.Fuzz(func(t *testing.T, name []byte) {
		name, _, _ = bytes.Cut(name[:min(len(name), longestComm)], []byte{0})
		done := make(chan struct{})
		go func() { // a thread of its own, which ends with the goroutine
			defer close(done)
			runtime.LockOSThread()
			checkComm(t, name)
		}()
		<-done
	})
}

// checkComm gives the thread the name, and reads the name back.
func checkComm(t *testing.T, name []byte) {
	text := append(bytes.Clone(name), 0)
	_, _, errno := unix.RawSyscall(unix.SYS_PRCTL, unix.PR_SET_NAME, uintptr(unsafe.Pointer(&text[0])), 0)
	if errno != 0 {
		t.Errorf("PR_SET_NAME: %v", errno)
		return
	}
	p, of := NewProc(), "task/"+strconv.Itoa(unix.Gettid())+"/"
	read := func(file string) []byte {
		b, err := p.Read(os.Getpid(), of+file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		return b
	}
	if stat, err := ParseStat(read("stat")); err != nil || stat.Comm != string(name) {
		t.Errorf("stat: %q, %v; want %q", stat.Comm, err, name)
	}
	if status, err := ParseStatus(read("status")); err != nil || status.Name != string(name) {
		t.Errorf("status: %q, %v; want %q", status.Name, err, name)
	}
	if comm := bytes.TrimSuffix(read("comm"), []byte("\n")); !bytes.Equal(comm, name) {
		t.Errorf("comm: %q, want %q", comm, name)
	}
}
