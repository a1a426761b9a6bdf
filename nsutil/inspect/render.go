package inspect

import (
	"fmt"
	"strings"

	"github.com/finite-init/finite/internal/text"
)

const (
	maxIndent    = 20 // levels of the tree that are drawn
	widestHead   = 36 // columns before the verdict
	manyZombies  = 5  // of one parent: if there are more, shownZombies of them have a line
	shownZombies = 3
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
