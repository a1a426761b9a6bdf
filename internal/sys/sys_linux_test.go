package sys

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func pipe(t *testing.T, flags int) (r, w int) {
	t.Helper()
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|flags); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(p[0]); Close(p[1]) })
	return p[0], p[1]
}

func TestReceive(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := NewFile(pair[0], "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	Writable(pair[1])
	go func() {
		runtime.Gosched() // most often the other one waits then
		_ = unix.Sendmsg(pair[1], []byte("packet"), unix.UnixRights(pair[1]), nil, 0)
		Close(pair[1])
	}()
	var text, control [64]byte
	vector := unix.Iovec{Base: &text[0]}
	vector.SetLen(len(text))
	header := unix.Msghdr{Iov: &vector, Control: &control[0]}
	header.SetIovlen(1)
	header.SetControllen(len(control))
	n, err := file.Receive(&header)
	if err != nil || string(text[:n]) != "packet" {
		t.Fatalf("received %q, %v", text[:max(0, n)], err)
	}
	all, err := unix.ParseSocketControlMessage(control[:header.Controllen])
	if err != nil || len(all) != 1 {
		t.Fatalf("%d control messages, %v", len(all), err)
	}
	if fds, err := unix.ParseUnixRights(&all[0]); err != nil || len(fds) != 1 {
		t.Errorf("descriptors %v, %v", fds, err)
	} else {
		Close(fds[0])
	}
	if n, err := file.Receive(&header); n != 0 || err != nil { // nobody is at the other end
		t.Errorf("received %d bytes, %v", n, err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600),
		os.Mkdir(filepath.Join(dir, "sub"), 0o700), os.Symlink("file", filepath.Join(dir, "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := Open(filepath.Join(dir, "file"), unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
	var buf [4096]byte
	if n, err := Read(fd, buf[:]); string(buf[:max(0, n)]) != "text" || err != nil {
		t.Errorf("read %q, %v", buf[:max(0, n)], err)
	}
	Close(fd)
	if _, err := Read(fd, buf[:]); err != unix.EBADF {
		t.Errorf("read after close: %v", err)
	}
	n, err := Readlink(unix.AT_FDCWD, filepath.Join(dir, "link"), buf[:])
	if string(buf[:max(0, n)]) != "file" || err != nil {
		t.Errorf("readlink %q, %v", buf[:max(0, n)], err)
	}
	if n, err := Links(unix.AT_FDCWD, dir); err != nil || (n != 3 && n != 1) { // btrfs counts 1
		t.Errorf("links %d, %v", n, err)
	}
	list, err := Open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(list)
	var names []string
	for { // a signal ends a read early
		n, err := ReadDirent(list, buf[:])
		if err != nil || n <= 0 {
			break
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
	if len(names) != 3 {
		t.Errorf("%q, %v", names, err)
	}
	missing := filepath.Join(dir, "missing")
	_, openErr := Open(missing, unix.O_RDONLY)
	_, readlinkErr := Readlink(unix.AT_FDCWD, missing, buf[:])
	_, linksErr := Links(unix.AT_FDCWD, missing)
	if openErr != unix.ENOENT || readlinkErr != unix.ENOENT || linksErr != unix.ENOENT {
		t.Errorf("%v, %v, %v", openErr, readlinkErr, linksErr)
	}
	if _, err := Open("a\x00b", unix.O_RDONLY); err != unix.EINVAL {
		t.Errorf("a null byte: %v", err)
	}
}

func TestReady(t *testing.T) {
	r, w := pipe(t, unix.O_NONBLOCK)
	if Readable(r) || Readable(-1) || Readable(w) {
		t.Error("an empty pipe")
	}
	page := make([]byte, 4096)
	for {
		if _, err := unix.Write(w, page); err != nil {
			if err != unix.EAGAIN {
				t.Fatal(err)
			}
			break
		}
	}
	if !Readable(r) {
		t.Error("a full pipe")
	}
}

func TestPidfd(t *testing.T) {
	fd, err := PidfdOpen(os.Getpid())
	if err != nil {
		t.Skip("no pidfd: ", err)
	}
	defer Close(fd)
	if err := PidfdSendSignal(fd, 0); err != nil {
		t.Error(err)
	}
	if err := PidfdSendSignal(fd, 1000); err != unix.EINVAL {
		t.Errorf("signal 1000: %v", err)
	}
	if _, err := PidfdOpen(1 << 30); err != unix.ESRCH && err != unix.EINVAL {
		t.Errorf("nobody: %v", err)
	}
}

func TestIsCharDevice(t *testing.T) {
	null, err := Open("/dev/null", unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(null)
	r, _ := pipe(t, 0)
	if !IsCharDevice(null) || IsCharDevice(r) {
		t.Error("null is one, a pipe is not")
	}
}

func TestForegroundOfNoTerminal(t *testing.T) {
	r, _ := pipe(t, 0)
	if _, err := Foreground(r); err != unix.ENOTTY {
		t.Error(err)
	}
	if err := SetForeground(r, 1); err != unix.ENOTTY {
		t.Error(err)
	}
}

// While one goroutine waits in the kernel, others run, even where one may at a time; and each that
// waits has a thread of its own.
func TestWaitLetsOthersRun(*testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const count = 5
	var word atomic.Uint32
	var waiting, done atomic.Int32
	for range count {
		go func() {
			waiting.Add(1)
			for word.Load() == 0 {
				FutexWait(&word)
			}
			done.Add(1)
		}()
	}
	for waiting.Load() != count {
		runtime.Gosched()
	}
	word.Store(1)
	for done.Load() != count {
		FutexWake(&word)
		runtime.Gosched()
	}
}

func TestFileReadsWhatComes(t *testing.T) {
	r, w := pipe(t, unix.O_NONBLOCK)
	dup, err := unix.FcntlInt(uintptr(r), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFile(dup, "pipe")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		go func() { _, _ = unix.Write(w, []byte(strconv.Itoa(i))) }()
		var buf [8]byte
		if n, err := f.Read(buf[:]); err != nil || string(buf[:n]) != strconv.Itoa(i) {
			t.Fatalf("%q, %v; want %d", buf[:n], err, i)
		}
	}
	go f.Close()
	if _, err := f.Read(make([]byte, 8)); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after close: %v", err)
	}
}

// Where a wait would fail at once there is no File, and the descriptor is closed.
func TestFileThatIsNotPolled(t *testing.T) {
	blocking, _ := pipe(t, 0)
	plain, err := Open(filepath.Join(t.TempDir(), "file"), unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer Close(plain)
	for name, fd := range map[string]int{"a pipe that blocks": blocking, "a file of a file system": plain} {
		dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f, err := NewFile(dup, name)
		if err == nil {
			t.Errorf("%s: no error; a wait ends with %v", name, f.Wait())
			f.Close()
			continue
		}
		if _, err := unix.FcntlInt(uintptr(dup), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("%s: it is still open: %v", name, err)
		}
	}
	if _, err := NewFile(-1, "none"); err == nil {
		t.Error("no descriptor: no error")
	}
}

// Wait lasts until there is something to read, and leaves it there.
func TestFileWaits(t *testing.T) {
	r, w := pipe(t, unix.O_NONBLOCK)
	dup, err := unix.FcntlInt(uintptr(r), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFile(dup, "pipe")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var written atomic.Bool
	go func() {
		written.Store(true)
		_, _ = unix.Write(w, []byte("x"))
	}()
	if err := f.Wait(); err != nil || !written.Load() {
		t.Errorf("%v, written: %v", err, written.Load())
	}
	var buf [2]byte
	if n, err := f.Read(buf[:]); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}
