package record

import (
	"errors"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// inPlaceLimit is how long a report is at most in a file that was mounted into the container for
// it: /dev/termination-log is read up to there.
const inPlaceLimit = 4096

// recordFile is a file that always holds the last state, whole. It belongs to the directory that it
// was opened in, wherever that is moved and whatever is put in its place: the descriptor of the
// directory is kept, and no symbolic link is followed in it.
type recordFile struct {
	target string // as it was given
	limit  int    // bytes; 0: none
	render func(*account, int) []byte

	kind      recordKind
	dir       int // of its directory; -1: there is none
	name      string
	made      bool // it was not there before
	replaced  bool // a file of this process has taken its place
	stale     bool // a stream that is to be emptied first
	astray    bool // another directory is in the place of the first one
	foreign   bool // it is not what the supervisor before this one has written, and nothing is written into it
	remember  func(FileID)
	abandoned func() bool // whether the run has stopped waiting for it
	fd        int
	stream    *stream // nil: it is none
	streamID  FileID
	mode      uint32
	uid, gid  int
	size      int // of what is in it
}

// recordKind is how a state takes the place of the last one.
type recordKind uint8

const (
	// A new file takes its place (rename(2)), so that whoever reads it finds one or the other.
	byRename recordKind = iota
	inPlace             // it is written over: a mount point, or its directory cannot be written to
	asStream            // it is written behind the last one, each in a line: a pipe, a socket, a terminal
)

// openRecord opens a path, or fd:N, a descriptor that the command does not get.
func openRecord(target string, self *Self) (*recordFile, error) {
	f := &recordFile{target: target, dir: -1, fd: -1, abandoned: func() bool { return false }}
	stream := false
	if number, ok := strings.CutPrefix(target, "fd:"); ok {
		n, err := strconv.ParseUint(number, 10, 20)
		if err != nil {
			return nil, errors.New("not the number of a descriptor")
		}
		fd := int(n)
		if fd == unix.Stderr {
			fd = self.stderr()
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			return nil, err
		}
		if flags&unix.O_ACCMODE == unix.O_RDONLY {
			return nil, errors.New("not open for writing")
		}
		stream = flags&unix.O_APPEND != 0 || int(n) <= unix.Stderr // what others write there stays
		if int(n) > unix.Stderr {                                  // those are the command's as well
			unix.CloseOnExec(fd)
		}
		// A copy: the caller's descriptor may be written to by other processes.
		if f.fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, unix.Stderr+1); err != nil {
			return nil, err
		}
	} else if err := f.openPath(target); err != nil {
		f.close()
		return nil, err
	}
	if err := f.classify(stream); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// classify finds out how the file that is open can be written.
func (f *recordFile) classify(stream bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return err
	}
	switch {
	case stream || st.Mode&unix.S_IFMT != unix.S_IFREG:
		f.kind = asStream
	case f.dir < 0:
		f.kind = inPlace
	case f.isMountPoint():
		f.kind, f.limit = inPlace, inPlaceLimit
	}
	if f.kind == asStream {
		f.share()
	}
	f.mode, f.uid, f.gid, f.size = st.Mode&0o777, int(st.Uid), int(st.Gid), int(st.Size)
	return nil
}

var errNobodyReads = errors.New("nobody reads it")

var errAstray = errors.New("another directory was put in the place of the one that it is in")

var errForeign = errors.New("another file was put in its place")

var errRemoved = errors.New("the file was removed, and something else is mounted in its place")

var errSymlink = errors.New("a symbolic link, which is not followed")

func (f *recordFile) openPath(target string) (err error) {
	dir, name := path.Split(target)
	switch {
	case name == "" || name == "." || name == "..":
		return errors.New("not the name of a file")
	case dir == "":
		dir = "."
	}
	f.name = name
	if f.dir, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	// O_NONBLOCK: a FIFO that nobody reads is an error (ENXIO), not a reason to wait.
	const flags = unix.O_WRONLY | unix.O_CREAT |
		unix.O_NOFOLLOW | unix.O_NOCTTY | unix.O_NONBLOCK | unix.O_CLOEXEC
	if f.fd, err = unix.Openat(f.dir, name, flags|unix.O_EXCL, 0o644); err == nil {
		f.made = true
		return nil
	}
	if f.fd, err = unix.Openat(f.dir, name, flags, 0o644); err == unix.ELOOP {
		return errSymlink
	}
	return err
}

// openBeside opens the file whose name is this one's and suffix, in the same directory and for the
// same readers. It is not made before it is written.
func (f *recordFile) openBeside(suffix string) (*recordFile, error) {
	dir, err := unix.FcntlInt(uintptr(f.dir), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	beside := &recordFile{
		abandoned: f.abandoned,
		target:    f.target + suffix,
		name:      f.name + suffix,
		dir:       dir,
		fd:        -1,
		mode:      f.mode,
		uid:       f.uid,
		gid:       f.gid,
	}
	beside.fd, err = unix.Openat(
		dir,
		beside.name,
		unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC,
		0,
	)
	switch err {
	case nil:
		err = beside.classify(false)
	case unix.ENOENT:
		return beside, nil
	case unix.ELOOP:
		err = errSymlink
	}
	if err != nil {
		beside.close()
		return nil, err
	}
	return beside, nil
}

// isMountPoint reports whether the file is mounted where it is (statx(2), STATX_MNT_ID, Linux 5.8).
// Before, the first rename tells.
func (f *recordFile) isMountPoint() bool {
	var dir, file unix.Statx_t
	err1 := unix.Statx(f.dir, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &dir)
	err2 := unix.Statx(f.fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &file)
	return err1 == nil && err2 == nil && dir.Mask&file.Mask&unix.STATX_MNT_ID != 0 && dir.Mnt_id != file.Mnt_id
}

func (f *recordFile) close() {
	f.unshare()
	if f.dir >= 0 {
		_ = unix.Close(f.dir)
	}
	if f.fd >= 0 {
		_ = unix.Close(f.fd)
	}
	f.dir, f.fd = -1, -1
}

// write makes text the content.
func (f *recordFile) write(text []byte) error {
	if f.astray {
		return errAstray
	}
	switch f.kind {
	case asStream:
		return f.writeLines(text, time.Now().Add(RecordLimit))
	case inPlace:
		return f.writeOver(text)
	}
	err := f.replace(text)
	if err == nil {
		return nil
	}
	if f.foreign || err == unix.EBUSY && f.replaced {
		return err // something was mounted over it since, or another file put there
	}
	if err == unix.EBUSY { // a mount point, for which the limit is another
		f.kind, f.limit = inPlace, inPlaceLimit
		return nil
	}
	if f.writeOver(text) == nil && f.isInPlace() {
		return nil // it can be written to, if nothing can be made beside it
	}
	return err
}

// remove removes the file if it was made for the run.
func (f *recordFile) remove() {
	if f.made && f.isInPlace() {
		_ = unix.Unlinkat(f.dir, f.name, 0)
	}
}

// is reports whether both are the same file.
func (f *recordFile) is(other *recordFile) bool {
	var a, b unix.Stat_t
	return unix.Fstat(f.fd, &a) == nil && unix.Fstat(other.fd, &b) == nil && sameFile(&a, &b) &&
		a.Mode&unix.S_IFMT == unix.S_IFREG
}

// isNamedAs reports whether both have the same name in the same directory.
func (f *recordFile) isNamedAs(other *recordFile) bool {
	var a, b unix.Stat_t
	return f.dir >= 0 && other.dir >= 0 && f.name == other.name && unix.Fstat(f.dir, &a) == nil &&
		unix.Fstat(other.dir, &b) == nil &&
		sameFile(&a, &b)
}

// isInPlace reports whether the name still leads to the file.
func (f *recordFile) isInPlace() bool {
	var own, there unix.Stat_t
	return unix.Fstat(f.fd, &own) == nil &&
		unix.Fstatat(f.dir, f.name, &there, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		sameFile(&own, &there)
}

func sameFile(a, b *unix.Stat_t) bool { return a.Dev == b.Dev && a.Ino == b.Ino }
