package record

import (
	"cmp"
	"os"
	"strconv"
)

// tracer writes events in the trace event format: states and processes as slices, everything else
// as instants. Each process has a track of its own. An array that is not closed is read as well, so
// that what finite leaves when it is killed can be looked at.
type tracer struct {
	pid   int
	begun bool
	state string // the open slice; empty: none
}

// The tracks besides those of processes have numbers that are no PIDs (PID_MAX_LIMIT).
const (
	trackStates = 1<<22 + iota
	trackSignals
	trackLadder
)

type traceEvent struct {
	Name  string `json:"name"`
	Phase string `json:"ph"`
	At    int64  `json:"ts"`            // µs
	Took  *int64 `json:"dur,omitempty"` // µs, of a complete slice
	PID   int    `json:"pid"`
	Track int    `json:"tid"`
	Scope string `json:"s,omitempty"`
	Args  any    `json:"args,omitempty"`
}

type traceName struct {
	Name  string `json:"name,omitempty"`
	Index int    `json:"sort_index,omitempty"`
}

func newTracer() *tracer { return &tracer{pid: os.Getpid()} }

func (t *tracer) append(text []byte, e *Event) []byte {
	if !t.begun {
		text = t.about(text, "process_name", t.pid, traceName{Name: "finite"})
		for i, name := range []string{"states", "signals", "ladder"} {
			text = t.about(text, "thread_name", trackStates+i, traceName{Name: name})
			text = t.about(text, "thread_sort_index", trackStates+i, traceName{Index: i - 3}) // above the processes
		}
	}
	at := e.at.UnixMicro()
	instant := traceEvent{Name: e.Event, Phase: "i", At: at, PID: t.pid, Track: trackStates, Scope: "t", Args: e}
	switch e.Event {
	case "state":
		text = t.leave(text, at)
		t.state = e.To
		return t.add(text, &traceEvent{Name: e.To, Phase: "B", At: at, PID: t.pid, Track: trackStates, Args: e})
	case "exited", "reaped":
		slice := instant
		slice.Name, slice.Phase, slice.Track, slice.Scope = cmp.Or(
			e.Comm,
			"pid "+strconv.Itoa(e.PID),
		), "X", e.PID, ""
		var took int64
		if e.LivedMS != nil {
			took = int64(*e.LivedMS * 1000)
		}
		slice.At, slice.Took = slice.At-took, &took
		text = t.about(text, "thread_name", e.PID, traceName{Name: slice.Name})
		return t.add(text, &slice)
	case "signal", "forwarded":
		instant.Name, instant.Track = e.Signal, trackSignals
		if e.Event == "forwarded" {
			instant.Name += " to " + e.Target
		}
	case "rung":
		instant.Name, instant.Track = e.Step, trackLadder
	case "ended":
		text = t.leave(text, at)
	}
	return t.add(text, &instant)
}

func (t *tracer) leave(text []byte, at int64) []byte {
	if t.state == "" {
		return text
	}
	e := traceEvent{Name: t.state, Phase: "E", At: at, PID: t.pid, Track: trackStates}
	t.state = ""
	return t.add(text, &e)
}

func (t *tracer) about(text []byte, what string, track int, name traceName) []byte {
	return t.add(text, &traceEvent{Name: what, Phase: "M", PID: t.pid, Track: track, Args: name})
}

func (t *tracer) add(text []byte, e *traceEvent) []byte {
	if t.begun {
		text = append(text, ",\n"...)
	} else {
		text = append(text, "[\n"...)
		t.begun = true
	}
	return appendJSON(text, e)
}

// end closes the array.
func (t *tracer) end(text []byte) []byte {
	if !t.begun {
		text = append(text, '[')
	}
	return append(text, "\n]\n"...)
}
