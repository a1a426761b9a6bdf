// Package record writes what there is to know of a run: report, state file, snapshots, events, and
// the log.
//
// It guarantees:
//
//   - No writer holds up whoever has something to tell: each file has a goroutine and a bounded
//     queue, and what does not fit is counted.
//   - Whoever reads a report reads the last state whole, where the file system can rename.
//   - A file is the one that was opened. No symbolic link is followed, nothing is written into a
//     file that was put in its place, or into another directory.
//   - Records that go to one stream take turns, line by line.
//
// A [Writer] owns the descriptors of all of them, and closes them in one order: reports, events,
// log. Descriptors that the caller names (fd:N) are copied and stay open.
//
// It decides nothing about a run, and sends no signal.
package record
