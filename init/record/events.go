package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/usage"
	"github.com/finite-init/finite/internal/procfs"
)

// EventsFormat says in which form events are written.
type EventsFormat uint8

// The forms.
const (
	EventsJSON  EventsFormat = iota // one JSON object a line
	EventsTrace                     // the trace event format of Chrome's and Perfetto's viewers: one array
)

var eventsFormatNames = [...]string{"json", "trace"}

func (f EventsFormat) String() string { return eventsFormatNames[f] }

// ParseEventsFormat reads the name of a form.
func ParseEventsFormat(s string) (EventsFormat, error) {
	return ending.ParseName[EventsFormat](s, eventsFormatNames[:])
}

// Event is one event, as it is written. Its keys are a contract.
type Event struct {
	Event      string       `json:"event"`
	Time       string       `json:"time"`
	AtMS       float64      `json:"at_ms"` // since the command's start
	PID        int          `json:"pid,omitempty"`
	Comm       string       `json:"comm,omitempty"`
	Command    []string     `json:"command,omitempty"`
	From       string       `json:"from,omitempty"`
	To         string       `json:"to,omitempty"`
	Why        string       `json:"why,omitempty"`
	Step       string       `json:"step,omitempty"`
	Signal     string       `json:"signal,omitempty"`
	By         *reportBy    `json:"by,omitempty"`
	Target     string       `json:"target,omitempty"`
	Result     string       `json:"result,omitempty"`
	ExitCode   *int         `json:"exit_code,omitempty"`
	CoreDumped bool         `json:"core_dumped,omitempty"`
	LivedMS    *float64     `json:"lived_ms,omitempty"`
	CPUMS      *float64     `json:"cpu_ms,omitempty"`
	Count      int          `json:"count,omitempty"`
	Cause      *reportCause `json:"cause,omitempty"`
	ExitStatus *int         `json:"exit_status,omitempty"`

	at time.Time
}

// eventLog writes events, in a goroutine of its own: whoever has one to tell never waits. add may
// be called by any goroutine; a nil eventLog does nothing.
type eventLog struct {
	self   Self
	file   *recordFile
	tracer *tracer      // nil: the form is EventsJSON
	proc   *procfs.Proc // nil: there is none that can be believed

	wake chan struct{}
	idle chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	start   time.Time // of the command; zero before
	text    []byte    // what is to be written
	dropped int       // events for which there was no room
	failed  error
	over    bool

	abandoned atomic.Bool // it was not waited for, and is to write no more
}

// maxEvents bounds the text that waits to be written, in bytes.
const maxEvents = 4 << 20

// newEventLog opens the file of the events. It returns nil if none are wanted. What cannot be
// opened is an error before the command is started. For a command that runs already, it is said at
// the end.
func newEventLog(to *Targets, reports *recorder) (*eventLog, error) {
	if to.Events == "" {
		return nil, nil
	}
	f, err := openRecord(to.Events, &to.Self)
	if err == nil && reports.uses(f) {
		f.close()
		err = errors.New("is where another record goes")
	}
	if err == nil {
		f.follow(to.Memory, recordEvents)
		if err = f.misplaced(); err == nil {
			err = f.beStream()
		}
		if err != nil {
			f.close()
		}
	}
	if err != nil && to.Running {
		idle := make(chan struct{})
		close(idle)
		return &eventLog{failed: err, over: true, wake: make(chan struct{}, 1), idle: idle}, nil
	}
	if err != nil {
		return nil, &usage.Error{Field: "Events", Value: to.Events, Why: err.Error()}
	}
	l := &eventLog{file: f, self: to.Self, wake: make(chan struct{}, 1), idle: make(chan struct{})}
	f.abandoned = l.abandoned.Load
	if proc := procfs.NewProc(); proc.Mounted() {
		l.proc = proc // else its numbers are strangers'
	}
	if to.EventsFormat == EventsTrace {
		l.tracer = newTracer()
	}
	return l, nil
}

// begin begins to write: in the place of what the file has, or behind what another supervisor has
// written.
func (l *eventLog) begin(behind bool) {
	if l == nil || l.over {
		return
	}
	if l.tracer != nil && behind {
		l.tracer.begun = true
	}
	go func() {
		defer close(l.idle)
		defer l.file.close()
		var err error
		if !behind {
			err = l.file.empty()
		}
		for err == nil {
			if _, more := <-l.wake; !more {
				err = l.flush()
				break
			}
			err = l.flush()
		}
		if err != nil {
			l.mu.Lock()
			l.failed, l.over = err, true
			l.mu.Unlock()
		}
	}()
}

// flush writes what there is. A reader that is slow is waited for, until the run is over.
func (l *eventLog) flush() error {
	l.mu.Lock()
	text := l.text
	l.text = nil
	l.mu.Unlock()
	return l.file.writeLines(text, time.Time{})
}

// startAt sets the time that the others are told from.
func (l *eventLog) startAt(t time.Time) {
	if l != nil {
		l.mu.Lock()
		l.start = t
		l.mu.Unlock()
	}
}

// add has an event written.
func (l *eventLog) add(e Event) {
	if l != nil {
		l.write(e)
	}
}

func (l *eventLog) write(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.at = time.Now()
	switch {
	case l.over:
		return
	case len(l.text) > maxEvents && e.Event != "ended":
		l.dropped++
		return
	case l.dropped > 0:
		l.encode(&Event{Event: "dropped", Count: l.dropped, at: e.at})
		l.dropped = 0
	}
	l.encode(&e)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *eventLog) encode(e *Event) {
	e.Time = e.at.UTC().Format("2006-01-02T15:04:05.000000Z07:00")
	if !l.start.IsZero() {
		e.AtMS = milliseconds(e.at.Sub(l.start))
	}
	if l.tracer != nil {
		l.text = l.tracer.append(l.text, e)
		return
	}
	l.text = append(appendJSON(l.text, e), '\n')
}

// appendJSON appends the text of what can be encoded.
func appendJSON(to []byte, v any) []byte {
	b := bytes.NewBuffer(to)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// failure returns why nothing is written any more, once.
func (l *eventLog) failure() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.failed
	l.failed = nil
	return err
}

// close writes what is left, until the given time at most.
func (l *eventLog) close(until time.Time) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if l.tracer != nil && !l.over {
		l.text = l.tracer.end(l.text)
	}
	l.over = true
	l.mu.Unlock()
	close(l.wake)
	if !isClosedBy(l.idle, until) {
		l.abandoned.Store(true)
		l.mu.Lock()
		l.failed = errNobodyReads
		l.mu.Unlock()
	}
}

// discard closes the file of a run that came to nothing.
func (l *eventLog) discard() {
	if l != nil {
		l.file.remove()
		l.file.close()
	}
}
