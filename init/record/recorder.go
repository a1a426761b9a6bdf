package record

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/finite-init/finite/init/internal/usage"
)

// recorder keeps the report and the state file up to date, in a goroutine of its own: a file system
// that is slow, or a reader that does not read, must not hold supervision up. add and close are the
// owner's.
type recorder struct {
	files     []*recordFile
	queue     chan account
	written   int           // bytes of the snapshots
	idle      chan struct{} // closed when the goroutine has ended
	tree      *recordFile   // of the snapshots, beside the report; nil: there is none
	noTree    error         // why there is none; nil: none was wanted
	abandoned atomic.Bool   // it was not waited for, and is to write no more

	mu     sync.Mutex
	unsaid []error         // failures, each text once
	said   map[string]bool // texts
}

// RecordLimit is the most that a record which cannot be written delays the end.
const RecordLimit = 500 * time.Millisecond

// newRecorder opens what is to be written. It returns nil for nothing. What cannot be opened is an
// error before the command is started. For a command that runs already, it is said.
func newRecorder(to *Targets) (*recorder, error) {
	if !to.IsReported() {
		return nil, nil
	}
	r := &recorder{said: make(map[string]bool)}
	for _, want := range []struct {
		field, target string
		record        int
		render        func(*account, int) []byte
	}{
		{
			"Report", to.Report, recordReport,
			func(s *account, limit int) []byte { return newReport(s, &to.Self).encode(limit) },
		},
		{
			"StateFile", to.StateFile, recordState,
			func(s *account, _ int) []byte { return renderState(s, &to.Self) },
		},
	} {
		if want.target == "" {
			continue
		}
		f, err := openRecord(want.target, &to.Self)
		if err == nil && r.uses(f) {
			f.close()
			err = errReportIsThere
		}
		if err != nil && to.Running {
			r.fail(fmt.Errorf("cannot write %s: %w", want.target, err))
			continue
		}
		if err != nil {
			r.discard()
			return nil, &usage.Error{Field: want.field, Value: want.target, Why: err.Error()}
		}
		f.render, f.abandoned = want.render, r.abandoned.Load
		f.follow(to.Memory, want.record)
		r.files = append(r.files, f)
	}
	if len(r.files) == 0 {
		return r, nil
	}
	if f := r.files[0]; f.target == to.Report && f.dir >= 0 && to.Snapshots {
		var err error
		if r.tree, err = f.openBeside(treeSuffix); err != nil {
			r.noTree = fmt.Errorf("cannot write %s%s: %w", f.target, treeSuffix, err) // there is the log
		} else {
			r.tree.follow(to.Memory, recordSnapshots)
		}
	}
	if slices.ContainsFunc(r.files, func(f *recordFile) bool { return r.tree != nil && r.tree.isNamedAs(f) }) {
		if to.Running {
			r.tree.close()
			r.tree, r.noTree = nil, fmt.Errorf("cannot write %s%s: %w", to.Report, treeSuffix, errReportIsThere)
			return r, nil
		}
		r.discard()
		return nil, &usage.Error{Field: "StateFile", Value: to.StateFile, Why: "is where the snapshots go"}
	}
	return r, nil
}

var errReportIsThere = errors.New("is where the report goes")

// add has an account written. If the last ones were not yet, they are out of date, and this one
// takes their place.
func (r *recorder) add(s account) {
	if r == nil {
		return
	}
	if r.queue == nil {
		r.start()
	}
	for {
		select {
		case r.queue <- s:
			return
		default:
		}
		select {
		case <-r.queue:
		default:
		}
	}
}

func (r *recorder) start() {
	r.queue, r.idle = make(chan account, 1), make(chan struct{})
	go func(queue <-chan account) {
		defer close(r.idle)
		for s := range queue {
			r.write(&s)
		}
		r.closeFiles()
	}(r.queue)
}

// write writes to every file. A mistake in that does not end the process.
func (r *recorder) write(s *account) {
	defer func() {
		if v := recover(); v != nil {
			r.fail(fmt.Errorf("cannot write a record: internal error: %v", v))
		}
	}()
	r.writeTree(s.trees)
	for _, f := range r.files {
		if r.abandoned.Load() {
			return
		}
		limit := f.limit
		err := f.write(f.render(s, limit))
		if f.limit != limit { // it was found out just now
			err = f.write(f.render(s, f.limit))
		}
		if err != nil {
			r.fail(fmt.Errorf("cannot write %s: %w", f.target, err))
		}
	}
}

// writeTree writes the snapshots that were taken, if there is one more.
func (r *recorder) writeTree(trees []byte) {
	if len(trees) == r.written || r.abandoned.Load() {
		return
	}
	if r.tree == nil {
		if r.noTree != nil {
			r.fail(r.noTree)
		}
		return
	}
	r.written = len(trees)
	err := r.tree.write(lastLines(trees, r.tree.limit))
	if err == nil && r.tree.limit > 0 { // it may have been found out just now
		err = r.tree.write(lastLines(trees, r.tree.limit))
	}
	if err != nil {
		r.fail(fmt.Errorf("cannot write %s: %w", r.tree.target, err))
	}
}

// lastLines returns as many lines from the end of text as make at most limit bytes, if that is
// above 0.
func lastLines(text []byte, limit int) []byte {
	if limit <= 0 || len(text) <= limit {
		return text
	}
	text = text[len(text)-limit:]
	return text[bytes.IndexByte(text, '\n')+1:]
}

func (r *recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.said[err.Error()] {
		r.said[err.Error()] = true
		r.unsaid = append(r.unsaid, err)
	}
}

// failures returns those since it was called last.
func (r *recorder) failures() []error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := r.unsaid
	r.unsaid = nil
	return errs
}

// uses reports whether a file is one of those that it writes.
func (r *recorder) uses(f *recordFile) bool {
	return r != nil && (slices.ContainsFunc(r.files, f.is) || r.tree != nil && r.tree.isNamedAs(f))
}

var errRecordSlow = errors.New("cannot write a record: it takes too long")

// close waits for what is queued, until the given time at most. The goroutine closes the files.
func (r *recorder) close(until time.Time) {
	switch {
	case r == nil:
		return
	case r.queue == nil:
		r.closeFiles()
		return
	}
	close(r.queue)
	if !isClosedBy(r.idle, until) {
		r.abandoned.Store(true)
		r.fail(errRecordSlow)
	}
}

// discard closes the files of a run that came to nothing, and removes what was made for them.
func (r *recorder) discard() {
	if r == nil {
		return
	}
	for _, f := range r.files {
		f.remove()
	}
	r.closeFiles()
}

func (r *recorder) closeFiles() {
	if r.tree != nil {
		r.tree.close()
	}
	for _, f := range r.files {
		f.close()
	}
}
