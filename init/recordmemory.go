package pid1

import "golang.org/x/sys/unix"

// fileID says which file it is (stat(2)).
type fileID struct{ Device, Inode uint64 }

// The numbers of the records for a recordMemory.
const (
	recordReport = iota
	recordState
	recordSnapshots
	recordEvents
)

// recordMemory knows which files the records are, beyond the end of a supervisor.
type recordMemory interface {
	remember(record int, at place)
	known(record int) (at place, again bool) // again: another supervisor has opened them before
}

// place is a file and the directory that it was opened in.
type place struct{ file, dir fileID }

// follow has the memory know where a record is. A file that the memory does not know was put there
// by somebody else since. It may be another name of a file that is none of finite's business: it is
// replaced, but not written into. Nothing is written in another directory than the first one.
func (f *recordFile) follow(memory recordMemory, record int) {
	if memory == nil || f.dir < 0 {
		return
	}
	dir := identify(f.dir)
	f.remember = func(id fileID) { memory.remember(record, place{id, dir}) }
	switch at, again := memory.known(record); {
	case again && at.dir != dir && at.dir != (fileID{}):
		f.remove()
		f.astray = true
	case again && f.fd >= 0 && f.id() != at.file && !f.made:
		f.foreign, f.kind, f.limit = true, byRename, 0
	case f.fd >= 0:
		f.remember(f.id())
	case !again:
		f.remember(fileID{})
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

func (f *recordFile) id() fileID { return identify(f.fd) }

func identify(fd int) fileID {
	var st unix.Stat_t
	if fd < 0 || unix.Fstat(fd, &st) != nil {
		return fileID{}
	}
	return fileID{st.Dev, st.Ino}
}
