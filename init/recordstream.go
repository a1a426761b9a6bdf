package pid1

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// beStream has every write go behind the last one. A descriptor is written where it stands, as a
// shell's > and >> mean it.
func (f *recordFile) beStream() error {
	if f.kind == asStream {
		return nil
	}
	f.kind, f.turn = asStream, turnAt(f.id())
	if f.dir < 0 {
		return nil
	}
	f.stale = true
	_, err := unix.FcntlInt(uintptr(f.fd), unix.F_SETFL, unix.O_APPEND)
	return err
}

// empty has a stream hold nothing of another run.
func (f *recordFile) empty() error {
	if !f.stale {
		return nil
	}
	f.stale = false
	return unix.Ftruncate(f.fd, 0)
}

// turns are the streams that records go to. Two of them may share one.
var turns struct {
	sync.Mutex
	at map[fileID]chan struct{}
}

func turnAt(id fileID) chan struct{} {
	turns.Lock()
	defer turns.Unlock()
	if turns.at == nil {
		turns.at = make(map[fileID]chan struct{})
	}
	if turns.at[id] == nil {
		turns.at[id] = make(chan struct{}, 1)
	}
	return turns.at[id]
}

// writeLines writes whole lines to a stream: no other record's are between them. It is given up at
// the deadline, if that is not zero, and when late says so.
func (f *recordFile) writeLines(text []byte, deadline time.Time, late func() bool) error {
	const look = 10 * time.Millisecond
	for taken := false; !taken; {
		select {
		case f.turn <- struct{}{}:
			taken = true
		case <-time.After(look):
			if late() || !deadline.IsZero() && time.Now().After(deadline) {
				return errNobodyReads
			}
		}
	}
	defer func() { <-f.turn }()
	err := writeAll(f.fd, text, deadline, late)
	if err == unix.ETIMEDOUT {
		return errNobodyReads
	}
	return err
}
