package record

import (
	"golang.org/x/sys/unix"
)

// FileID says which file it is (stat(2)).
type FileID struct{ Device, Inode uint64 }

// The numbers of the records for a Memory.
const (
	recordReport = iota
	recordState
	recordSnapshots
	recordEvents
)

// Memory knows which files the records are, beyond the end of a supervisor.
type Memory interface {
	Remember(record int, at Place)
	Known(record int) (at Place, again bool) // again: another supervisor has opened them before
}

// Place is a file and the directory that it was opened in.
type Place struct{ File, Dir FileID }

// follow has the memory know where a record is. A file that the memory does not know was put there
// by another process since. It may be another name of a file that is none of finite's business: it
// is replaced, but not written into. Nothing is written in another directory than the first one.
func (f *recordFile) follow(memory Memory, record int) {
	if memory == nil || f.dir < 0 {
		return
	}
	dir := identify(f.dir)
	f.remember = func(id FileID) { memory.Remember(record, Place{id, dir}) }
	switch at, again := memory.Known(record); {
	case again && at.Dir != dir && at.Dir != (FileID{}):
		f.remove()
		f.astray = true
	case again && f.fd >= 0 && f.id() != at.File && !f.made:
		f.foreign, f.kind, f.limit = true, byRename, 0
	case f.fd >= 0:
		f.remember(f.id())
	case !again:
		f.remember(FileID{})
	}
}

// misplaced returns why the record is not what the supervisor before this one has had; nil: it is.
func (f *recordFile) misplaced() error {
	switch {
	case f.astray:
		return errAstray
	case f.foreign:
		return errForeign
	}
	return nil
}

func (f *recordFile) id() FileID { return identify(f.fd) }

func identify(fd int) FileID {
	var st unix.Stat_t
	if fd < 0 || unix.Fstat(fd, &st) != nil {
		return FileID{}
	}
	return FileID{st.Dev, st.Ino}
}
