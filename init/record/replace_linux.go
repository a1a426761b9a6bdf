package record

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// replace writes a new file beside the old one and renames it.
func (f *recordFile) replace(text []byte) error {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_REALTIME, &now)
	// A file of that name is not finite's: O_EXCL refuses it.
	temporary := "." + f.name[:min(len(f.name), 200)] + "." + strconv.FormatInt(now.Nano(), 36)
	fd, err := unix.Openat(
		f.dir,
		temporary,
		unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC,
		0o600,
	)
	if err != nil {
		return err
	}
	if err = writeFile(fd, text); err == nil {
		err = f.own(fd)
	}
	if err == nil {
		err = unix.Renameat(f.dir, temporary, f.dir, f.name)
	}
	if err != nil {
		_ = unix.Close(fd)
		_ = unix.Unlinkat(f.dir, temporary, 0)
		return err
	}
	f.size, f.replaced, f.foreign = len(text), true, false
	if f.remember != nil {
		f.remember(identify(fd))
	}
	if f.fd < 0 { // it stays closed: one more descriptor was not reserved
		_ = unix.Close(fd)
		return nil
	}
	_ = unix.Close(f.fd)
	f.fd = fd
	return nil
}

// own gives a new file the mode and the owner of the one whose place it takes.
func (f *recordFile) own(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if int(st.Uid) != f.uid || int(st.Gid) != f.gid {
		if err := unix.Fchown(fd, f.uid, f.gid); err != nil {
			return err
		}
	}
	return unix.Fchmod(fd, f.mode)
}

// writeOver writes text over what is there: by one write, which pads it to the length of the old
// one, and only then makes the file shorter. After a SIGKILL in between, there is a whole object.
// Room is made before: a file system that is full keeps the old one. (Who reads while it is written
// may find some of both.)
func (f *recordFile) writeOver(text []byte) error {
	if len(text) > f.size {
		if err := unix.Fallocate(f.fd, unix.FALLOC_FL_KEEP_SIZE, 0, int64(len(text))); err != nil &&
			err != unix.EOPNOTSUPP &&
			err != unix.ENOSYS &&
			err != unix.EPERM {
			return err
		}
	}
	padded := text
	for len(padded) < f.size && len(padded) < 1<<20 {
		padded = append(padded, '\n')
	}
	n, err := unix.Pwrite(f.fd, padded, 0)
	for err == unix.EINTR {
		n, err = unix.Pwrite(f.fd, padded, 0)
	}
	if err == nil && n < len(text) {
		err = unix.ENOSPC
	}
	if err != nil {
		return err
	}
	f.size = len(text)
	if err := unix.Ftruncate(f.fd, int64(len(text))); err != nil {
		return err
	}
	var st unix.Stat_t
	if f.dir >= 0 && unix.Fstat(f.fd, &st) == nil && st.Nlink == 0 {
		return errRemoved
	}
	return nil
}

func writeFile(fd int, text []byte) error {
	for len(text) > 0 {
		n, err := unix.Write(fd, text)
		if err != nil && err != unix.EINTR {
			return err
		}
		text = text[max(n, 0):]
	}
	return nil
}
