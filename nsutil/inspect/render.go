package inspect

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/finite-init/finite/internal/text"
)

const (
	maxIndent    = 20 // levels of the tree that are drawn
	widestHead   = 36 // columns before the verdict
	manyZombies  = 5  // of one parent: if there are more, shownZombies of them have a line
	shownZombies = 3
	shownThreads = 5 // of one process
)

// Style is what a reader's terminal and locale can show.
type Style = text.Style

// Text writes a line for each process, more for those that are stuck or was asked for, and at the
// end what is to be said of all.
func (r *Inspection) Text(style Style) string {
	w := &textWriter{style: style}
	rows := r.rows()
	layOut(rows)
	for i := range rows {
		head := text.Width(w.head(&rows[i]))
		w.column = max(w.column, min(head, widestHead))
	}
	w.line("    PID S "+text.Pad("COMMAND", w.column-10)+"  ", "", "WHY IT HAS NOT ENDED", plain)
	for i := range rows {
		w.row(&rows[i], style.Details || rows[i].process != nil && rows[i].process.PID == r.PID)
	}
	for _, text := range r.summary() {
		w.line("", "  ", text.text, text.level)
	}
	return w.b.String()
}

// row is a line of the tree: a process or, if that is nil, how many zombies there are besides those
// that have one.
type row struct {
	process  *Inspected
	zombies  int
	depth    int
	last     bool   // the last child of its parent
	bars     uint32 // bit n: at level n, there is more to come below
	children bool
}

func (r *Inspection) rows() []row {
	total := make(map[int]int) // zombies by parent
	for _, z := range r.Zombies {
		total[z.Parent] = len(z.PIDs)
	}
	seen := make(map[int]int)
	var rows []row
	for i := range r.Processes {
		p := &r.Processes[i]
		line := row{process: p, depth: min(p.Depth, maxIndent)}
		if n := total[p.PPID]; n > manyZombies && p.State == "Z" && p.Threads < 2 && p.PID != r.PID {
			seen[p.PPID]++
			if seen[p.PPID] == n {
				line.process, line.zombies = nil, n-shownZombies
			} else if seen[p.PPID] > shownZombies {
				continue
			}
		}
		rows = append(rows, line)
	}
	return rows
}

// layOut sets what each row needs to know of those that follow.
func layOut(rows []row) {
	var open uint32 // bit n: a row of that level follows, of the same parent
	for i := len(rows) - 1; i >= 0; i-- {
		r := &rows[i]
		own := uint32(1) << r.depth
		r.last = open&own == 0
		r.bars = open & (own - 1)
		r.children = i+1 < len(rows) && rows[i+1].depth > r.depth
		open = open&(own-1) | own
	}
}

type textWriter struct {
	b      strings.Builder
	style  text.Style
	column int // where verdicts begin
}

// drawn is a piece of the tree.
func (w *textWriter) drawn(unicode, ascii string) string {
	if w.style.Unicode {
		return unicode
	}
	return ascii
}

// tree draws the levels above a row. What is the row's own is own, or, on its further lines, a bar
// if more follows.
func (w *textWriter) tree(r *row, first bool) string {
	var b strings.Builder
	bar := w.drawn("│  ", "|  ")
	for n := 1; n < r.depth; n++ {
		if r.bars&(1<<n) != 0 {
			b.WriteString(bar)
		} else {
			b.WriteString("   ")
		}
	}
	switch {
	case r.depth > 0 && first && r.last:
		b.WriteString(w.drawn("└─ ", "`- "))
	case r.depth > 0 && first:
		b.WriteString(w.drawn("├─ ", "|- "))
	case r.depth > 0 && r.last:
		b.WriteString("   ")
	case r.depth > 0:
		b.WriteString(bar)
	}
	if !first && r.children {
		b.WriteString(bar)
	}
	return b.String()
}

// head is what stands in front of a verdict.
func (w *textWriter) head(r *row) string {
	if r.process == nil {
		return "      - Z " + w.tree(r, true)
	}
	return fmt.Sprintf("%7d %s ", r.process.PID, r.process.State) + w.tree(r, true) + w.name(r.process.Comm)
}

// name makes a name that others chose fit to be printed.
func (w *textWriter) name(s string) string {
	s = text.Printable(s)
	if w.style.Unicode {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return '?'
		}
		return r
	}, s)
}

func (w *textWriter) row(r *row, details bool) {
	const margin = "          " // below the PID and the state
	below := margin + w.tree(r, false)
	if r.process == nil {
		w.line(w.head(r), below, fmt.Sprintf("and %d more zombies", r.zombies), stuck)
		return
	}
	p := r.process
	w.line(text.Pad(w.head(r), w.column)+"  ", text.Pad(below, w.column)+"  ", p.Verdict, p.level)
	if details || p.Stuck && p.State != "Z" {
		for _, detail := range p.details() {
			w.line(below+"    ", below+"      ", detail, plain)
		}
	}
}

// line writes words behind first, and what does not fit into the width behind rest, on further
// lines.
func (w *textWriter) line(first, rest, words string, l level) {
	words = w.name(words)
	head := first
	for {
		room := len(words) + 1
		if w.style.Width > 0 {
			head = text.Cut(head, w.style.Width)
			room = w.style.Width - text.Width(head)
			if smallest := min(20, w.style.Width); room < smallest { // rather lose some of the tree
				head = text.Cut(head, w.style.Width-smallest)
				room = w.style.Width - text.Width(head)
			}
		}
		part, after := text.Split(words, room)
		w.b.WriteString(strings.TrimRight(head+w.coloured(part, l), " "))
		w.b.WriteByte('\n')
		if after == "" {
			return
		}
		head, words = rest, after
	}
}

func (w *textWriter) coloured(text string, l level) string {
	if !w.style.Colour || text == "" {
		return text
	}
	switch l {
	case stuck:
		return "\x1b[31m" + text + "\x1b[0m"
	case wary:
		return "\x1b[33m" + text + "\x1b[0m"
	}
	return text
}

// details are the lines about a process beyond the verdict.
func (p *Inspected) details() []string {
	first := fmt.Sprintf("uid %d, parent %s", p.UID, named(p.ParentComm, p.PPID))
	if len(p.NSpid) > 1 {
		first += ", pid inside " + strings.Trim(fmt.Sprint(p.NSpid[1:]), "[]")
	}
	if p.Tracer != 0 {
		first += ", tracer " + p.tracer()
	}
	if p.Threads > 1 {
		first += ", " + strconv.Itoa(p.Threads) + " threads"
	}
	if p.Timed {
		first += fmt.Sprintf(", age %v, cpu %v", p.Age.Truncate(time.Second), p.CPU)
	}
	if p.Cgroup != "" {
		first += ", cgroup " + p.Cgroup
	}
	lines := []string{first}
	var sets []string
	for _, set := range []struct {
		what    string
		signals SignalNames
	}{{"pending", p.Pending}, {"blocked", p.Blocked}, {"ignored", p.Ignored}, {"caught", p.Caught}} {
		if set.signals != 0 {
			sets = append(sets, set.what+" "+set.signals.String())
		}
	}
	if len(sets) > 0 && p.State != "Z" {
		lines = append(lines, "signals: "+strings.Join(sets, "; "))
	}
	for i, t := range p.StuckThreads {
		if i == shownThreads {
			lines = append(lines, text.Plural(len(p.StuckThreads)-i, "more thread like these", "more threads like these"))
			break
		}
		lines = append(lines, fmt.Sprintf("thread %d %s %s%s", t.TID, t.State, t.Comm, after(",", place(t.WChan))))
	}
	if len(p.Stack) > 0 {
		var frames []string
		for _, frame := range p.Stack {
			name, _, _ := strings.Cut(frame, "+0x")
			if name == "do_syscall_64" || name == "invoke_syscall" { // what is behind it is the same for all
				break
			}
			frames = append(frames, name)
		}
		lines = append(lines, "stack: "+strings.Join(frames, " < "))
	}
	if len(p.Hangs) > 0 {
		lines = append(lines, "does not answer: /proc/"+strconv.Itoa(p.PID)+"/"+strings.Join(p.Hangs, ", "))
	}
	return lines
}

type summaryLine struct {
	text  string
	level level
}

// summary is what is to be said of all processes together.
func (r *Inspection) summary() []summaryLine {
	var lines []summaryLine
	add := func(l level, format string, args ...any) {
		lines = append(lines, summaryLine{fmt.Sprintf(format, args...), l})
	}
	held := 0
	for i := range r.Processes {
		if r.Processes[i].Stuck {
			held++
		}
	}
	if held > 0 {
		add(stuck, "stuck: %d of %s", held, text.Plural(len(r.Processes), "process", "processes"))
	}
	for _, z := range r.Zombies {
		who := named(z.Comm, z.Parent)
		if z.Parent == 0 {
			who = "a parent outside this PID namespace"
		}
		add(stuck, "%s has not reaped %s", who, text.Plural(len(z.PIDs), "zombie", "zombies"))
	}
	for _, limit := range r.PIDLimits {
		words, l := fmt.Sprintf("pids: %d of %d in %s", limit.Current, limit.Max, limit.Dir), plain
		if limit.Zombies > 0 {
			words += ", " + text.Plural(limit.Zombies, "zombie", "zombies") + " among them"
		}
		if limit.NearlyFull {
			words, l = words+": nearly full", stuck
		}
		if limit.Refused > 0 {
			words += ", and fork was refused " + text.Plural(limit.Refused, "time", "times")
		}
		add(l, "%s", words)
	}
	if r.KernelThreads > 0 {
		add(plain, "left out: %s", text.Plural(r.KernelThreads, "kernel thread", "kernel threads"))
	}
	if r.Unreadable > 0 {
		add(wary, "may not be read: %s", text.Plural(r.Unreadable, "process", "processes"))
	}
	if r.HidePID != "" {
		add(wary, "/proc hides processes of other users (hidepid=%s): there may be more", r.HidePID)
	}
	if r.Left > 0 {
		add(wary, "and %d more", r.Left)
	}
	if r.Incomplete {
		add(wary, "not everything could be read in time")
	}
	return lines
}
