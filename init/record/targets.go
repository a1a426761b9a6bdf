package record

import (
	"golang.org/x/sys/unix"
)

// Targets says what is to be written about a run, and where: a path, or fd:N, a descriptor. What is
// empty is not written.
type Targets struct {
	Report       string // see docs/report.md
	StateFile    string // in the form of the OCI runtime-spec
	Events       string // see docs/events.md
	EventsFormat EventsFormat
	Snapshots    bool // there may be some, for the file beside the report

	Running bool // the command runs already: what cannot be opened is said, and is no error
	Memory  Memory
	Self    Self
}

// Self is finite, as records name it.
type Self struct {
	PID     int  // of the process that finite was started as
	Foreign bool // that number, and those of the senders of signals, are of another PID namespace
	Stderr  int  // standard error, where that is not 2
	Planned bool // finite is in namespaces that were made for it, or that it has joined
}

func (s *Self) stderr() int {
	if s.Stderr > 0 {
		return s.Stderr
	}
	return unix.Stderr
}

// IsReported reports whether there is a report, or a state file.
func (t *Targets) IsReported() bool { return t.Report != "" || t.StateFile != "" }

// Threads is how many threads may be kept by what is written: by reports, by a snapshot, and by
// events.
func (t *Targets) Threads() int {
	n := 0
	for _, wanted := range []bool{t.IsReported(), t.Events != "", t.Snapshots} {
		if wanted {
			n++
		}
	}
	return n
}

// Descriptors is how many are needed besides those of the files: one for the file that takes a
// record's place, and one for a snapshot.
func (t *Targets) Descriptors() int {
	n := 0
	for _, wanted := range []bool{t.IsReported(), t.Snapshots} {
		if wanted {
			n++
		}
	}
	return n
}
