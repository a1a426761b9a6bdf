package record

import (
	"bytes"
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
	f.kind = asStream
	f.share()
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

// stream is a pipe, a socket, a terminal or a file that records go to, line after line. Two records
// may share one: each writes whole lines when it has the turn.
type stream struct {
	turn    chan struct{}
	records int
}

// streams are those that are in use.
var streams struct {
	sync.Mutex
	at map[FileID]*stream
}

// share joins the records that go where this one goes.
func (f *recordFile) share() {
	if f.stream != nil {
		return
	}
	streams.Lock()
	defer streams.Unlock()
	if streams.at == nil {
		streams.at = make(map[FileID]*stream)
	}
	f.streamID = f.id()
	if streams.at[f.streamID] == nil {
		streams.at[f.streamID] = &stream{turn: make(chan struct{}, 1)}
	}
	f.stream = streams.at[f.streamID]
	f.stream.records++
}

// unshare leaves them.
func (f *recordFile) unshare() {
	if f.stream == nil {
		return
	}
	streams.Lock()
	defer streams.Unlock()
	if f.stream.records--; f.stream.records == 0 {
		delete(streams.at, f.streamID)
	}
	f.stream = nil
}

// oneTurn is what a record writes before another one that shares its stream may, in bytes.
const oneTurn = 4096

// writeLines writes lines to a stream. It is given up at the deadline, if that is not zero, and
// when the run does not wait for the record any more. A line may be cut then.
func (f *recordFile) writeLines(text []byte, deadline time.Time) error {
	const look = 10 * time.Millisecond
	for len(text) > 0 {
		select {
		case f.stream.turn <- struct{}{}:
		case <-time.After(look):
			if f.abandoned() || !deadline.IsZero() && time.Now().After(deadline) {
				return errNobodyReads
			}
			continue
		}
		n := wholeLines(text)
		err := writeAll(f.fd, text[:n], deadline, f.abandoned)
		<-f.stream.turn
		if err == unix.ETIMEDOUT {
			return errNobodyReads
		}
		if err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

// wholeLines is how much of text is written in one turn: as many lines as fit, but one at least.
func wholeLines(text []byte) int {
	if len(text) <= oneTurn {
		return len(text)
	}
	if end := bytes.LastIndexByte(text[:oneTurn], '\n'); end >= 0 {
		return end + 1
	}
	if end := bytes.IndexByte(text, '\n'); end >= 0 {
		return end + 1
	}
	return len(text)
}
