package record

import (
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// Writer writes everything that is written about a run: report, state file and snapshots, events,
// and the log. It owns their descriptors. What cannot be written never holds a caller up; Close
// waits for 0.6 s at most, for all of it.
//
// Zombie, Ended, Stopped, Started, Signal and Event may be called by any goroutine, the other
// methods by one.
type Writer struct {
	to      Targets
	reports *recorder // nil: there are none
	events  *eventLog // nil: the same
	log     logQueue

	reported string // the last state of the report
	trees    []byte // the snapshots that were taken, as text
}

// Open opens what is to be written. What cannot be opened is an error that names the field of the
// targets; of a run that goes on it is logged.
func (w *Writer) Open(to Targets, log *logrus.Logger) (err error) {
	w.to, w.log.logger = to, log
	if w.reports, err = newRecorder(&w.to); err != nil {
		return err
	}
	if w.events, err = newEventLog(&w.to, w.reports); err != nil && !to.Running {
		w.reports.discard()
	}
	return err
}

// Discard closes everything for a run that does not begin, and removes what was made for it.
func (w *Writer) Discard() {
	if !w.to.Running {
		w.reports.discard()
		w.events.discard()
	}
}

// Begin has events written, behind those of a supervisor before this one.
func (w *Writer) Begin() { w.events.begin(w.to.Running) }

// StartAt sets the time that events are told from.
func (w *Writer) StartAt(t time.Time) { w.events.startAt(t) }

// HasFiles reports whether anything but the log is written.
func (w *Writer) HasFiles() bool { return w.reports != nil || w.events != nil }

// Reports reports whether there is a report, or a state file.
func (w *Writer) Reports() bool { return w.reports != nil }

// TellsChildren reports whether there are events.
func (w *Writer) TellsChildren() bool { return w.events != nil }

// IsSilent reports whether there is nothing to write of a command that ends by itself.
func (w *Writer) IsSilent() bool {
	return !w.HasFiles() && w.log.lines == nil && !w.Logs(ending.LevelDebug)
}

// Event has an event written.
func (w *Writer) Event(e Event) { w.events.add(e) }

// Signal tells of a signal that has arrived.
func (w *Writer) Signal(sig signals.Signal) { w.events.signal(sig) }

// Started tells of the command.
func (w *Writer) Started(pid int, args []string) {
	w.Event(Event{Event: "started", PID: pid, Command: args})
}

// Zombie tells of a child that has ended and can still be looked at.
func (w *Writer) Zombie(event string, c *reap.Change) { w.events.reaped(event, c) }

// Ended tells of a child with a name that was started at a time, in clock ticks after the boot; 0:
// neither is known.
func (w *Writer) Ended(event string, c *reap.Change, name string, start int64) {
	w.events.ended(event, c, name, start)
}

// Stopped tells that the command was stopped or continued.
func (w *Writer) Stopped(c *reap.Change) { w.events.stopped(c) }

// Logs reports whether lines of a level are wanted.
func (w *Writer) Logs(l ending.Level) bool { return w.log.enabled(l) }

// Log has a line logged.
func (w *Writer) Log(l ending.Level, text string, f Fields) { w.log.add(l, text, f) }

// ReportOnce has a state reported, unless it is the last one.
func (w *Writer) ReportOnce(state string, at time.Time, what func() Report) {
	if w.reports == nil || state == "" || state == w.reported {
		return
	}
	w.report(state, at, what())
}

// Report is what a report is made of.
type Report struct {
	Args   []string // nil: a pause
	Dir    string
	Result ending.Result
}

func (w *Writer) report(state string, at time.Time, r Report) {
	if w.reports == nil {
		return
	}
	w.reported = state
	w.reports.add(account{state: state, at: at, args: r.Args, dir: r.Dir, trees: w.trees, result: r.Result})
	w.complain()
}

// TreeField is the name of the field that a snapshot is logged in, as an [inspect.Snapshot].
const TreeField = "tree"

// treeSuffix is what the file of the snapshots has behind the report's name.
const treeSuffix = ".tree"

// maxTrees bounds the text of the snapshots: when it is longer, the older half of it goes.
const maxTrees = 1 << 20

// Tree has a snapshot written.
func (w *Writer) Tree(s *inspect.Snapshot, after time.Duration) {
	text := fmt.Sprintf(
		"%d processes at %s, %.3f s after the start",
		len(s.Processes)+s.Left,
		stamp(s.At),
		after.Seconds(),
	)
	w.Log(ending.LevelWarn, "snapshot: "+text, Fields{TreeField: s})
	if w.reports == nil {
		return
	}
	trees := w.trees
	if len(trees) > maxTrees {
		trees = lastLines(trees, maxTrees/2)
	}
	// The recorder may be reading the old one.
	w.trees = append(trees[:len(trees):len(trees)], text+"\n"+s.Table()+"\n"...)
	w.reported = "" // have it written
}

// complain logs what could not be written.
func (w *Writer) complain() {
	if err := w.events.failure(); err != nil {
		w.Log(ending.LevelWarn, fmt.Sprintf("cannot write %s: %v", w.to.Events, err), nil)
	}
	for _, err := range w.reports.failures() {
		w.Log(ending.LevelWarn, err.Error(), nil)
	}
}

// Dropped is how many lines of the log were not written so far.
func (w *Writer) Dropped() int { return int(w.log.dropped.Load()) }

// leastFlush is what the log has at least, of the time for all that is written.
const leastFlush = 100 * time.Millisecond

// Close writes the end, and what else is left, and closes everything: first the reports, then the
// events, then the log, which has what could not be written of them. It returns how many lines of
// the log were not written. Where abandoned is true, how the run ends is not known here, and no
// report says so.
func (w *Writer) Close(r Report, abandoned bool) (dropped int) {
	if !abandoned {
		w.report(ReportEnded, r.Result.Ended, r)
	}
	until := time.Now().Add(RecordLimit) // for all that is written, together
	w.reports.close(until)
	res := &r.Result
	w.Event(
		Event{
			Event:      "ended",
			PID:        res.PID,
			Cause:      newReportCause(&res.Cause, &w.to.Self),
			ExitStatus: &res.ExitStatus,
		},
	)
	w.events.close(until)
	w.complain()
	if least := time.Now().Add(leastFlush); until.Before(least) { // for what there is to say of the others
		until = least
	}
	return w.log.close(until)
}
