package pid1

import (
	"golang.org/x/sys/unix"
)

// fileID says which file it is (stat(2)).
type fileID struct{ device, inode uint64 }

// The numbers of the records for a recordMemory.
const (
	recordReport = iota
	recordState
	recordSnapshots
	recordEvents
)

// recordMemory knows which files the records are, beyond the end of a supervisor.
type recordMemory interface {
	remember(record int, id fileID)
	known(record int) (id fileID, again bool) // again: another supervisor has opened them before
}

// follow has the memory know which file a record is. A file that is not the one that the memory
// knows was put there by somebody else since. It may be another name of a file that is none of
// finite's business: it is replaced, but not written into.
func (f *recordFile) follow(memory recordMemory, record int) {
	if memory == nil || f.dir < 0 {
		return
	}
	f.remember = func(id fileID) { memory.remember(record, id) }
	id, again := memory.known(record)
	if own := f.id(); !again {
		f.remember(own)
	} else if f.fd >= 0 && own != id {
		f.foreign, f.kind, f.limit = true, byRename, 0
	}
}

func (f *recordFile) id() fileID {
	var st unix.Stat_t
	if f.fd < 0 || unix.Fstat(f.fd, &st) != nil {
		return fileID{}
	}
	return fileID{st.Dev, st.Ino}
}
