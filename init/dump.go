package pid1

import (
	"fmt"
	"time"
)

// treeSuffix is what the file of the snapshots has behind the report's name.
const treeSuffix = ".tree"

// maxTrees bounds the text of the snapshots: when it is longer, the older half of it goes.
const maxTrees = 1 << 20

// awaitEarly has the rungs before the deadline announced when they are due: before the first of the
// deadlines.
func (r *runner) awaitEarly() {
	early := r.cfg.ladders.early
	for first := 0; first < len(early); {
		at, count := early[first].After, early.group(first)
		first = count
		notice := func() { r.post(event{kind: evNotice, count: count}) }
		after := func(d time.Duration) {
			t := time.AfterFunc(max(0, d), notice)
			r.notices = append(r.notices, func() { t.Stop() })
		}
		if r.cfg.Timeout > 0 {
			after(r.cfg.Timeout + at)
		}
		if !r.cfg.until.IsZero() {
			after(time.Until(r.cfg.until) + at)
		}
	}
	r.awaitEarlyByWall()
}

// awaitEarlyByWall has the next rung before Config.Deadline announced: one at a time, for each
// takes a descriptor.
func (r *runner) awaitEarlyByWall() {
	if r.earlyWall != nil {
		r.earlyWall.close()
		r.earlyWall = nil
	}
	early := r.cfg.ladders.early
	next := r.m.noticed
	if r.cfg.Deadline.IsZero() || next >= len(early) {
		return
	}
	count := early.group(next)
	r.earlyWall = newAlarm(r.cfg.Deadline.Add(early[next].After), func() { r.post(event{kind: evNotice, count: count}) })
}

// dumped says and keeps the snapshot that was taken.
func (r *runner) dumped(ev event) {
	if ev.err != nil {
		r.rung("dump", "all", ev.err.Error())
		r.log.add(levelWarn, "cannot take a snapshot of the tree: "+ev.err.Error(), nil)
		return
	}
	s := &ev.snapshot
	r.rung("dump", "all", "taken")
	text := fmt.Sprintf("%d processes at %s, %.3f s after the start", len(s.Processes)+s.Left, stamp(s.At), s.At.Sub(r.started).Seconds())
	r.log.add(levelWarn, "snapshot: "+text, fields{TreeField: s})
	if r.recorder == nil {
		return
	}
	trees := r.trees
	if len(trees) > maxTrees {
		trees = lastLines(trees, maxTrees/2)
	}
	r.trees = append(trees[:len(trees):len(trees)], text+"\n"+s.Table()+"\n"...) // the recorder may be reading the old one
	r.recorded = ""                                                              // have it written
}

// TreeField is the name of the field that a snapshot is logged in, as a [inspect.Snapshot].
const TreeField = "tree"
