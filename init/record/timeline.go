package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/text"
)

const minTimelineWidth = 8

// Style is what a reader's terminal and locale can show.
type Style = text.Style

// Timeline draws a report as text: a line for each thing that happened, with its time and a bar
// over the time of the run, in which the states are told apart. The error says why the text is not
// a report.
func Timeline(text []byte, style Style) (string, error) {
	var r report
	if err := json.Unmarshal(text, &r); err != nil {
		return "", fmt.Errorf("not a report: %w", err)
	}
	if r.Schema != ReportSchema {
		return "", errors.New("not a report: its schema is not " + ReportSchema)
	}
	style.Width = max(style.Width, minTimelineWidth)
	p := plot{style: style, total: r.ElapsedMS}
	p.heading(&r)
	for _, row := range p.rows(&r) {
		p.row(row)
	}
	for _, s := range r.Survivors {
		p.line(fmt.Sprintf("left: pid %d (%s, state %s, uid %d): %s", s.PID, s.Comm, s.State, s.UID, s.Why))
	}
	return p.text.String(), nil
}

// plot is a timeline that is being drawn.
type plot struct {
	text  strings.Builder
	style text.Style
	total float64 // ms
}

// plotRow is something that happened and, if it lasted, until when. An instant has both the same.
type plotRow struct {
	from, to float64 // ms
	what     string
	state    string // of a bar; empty: an instant
}

func (p *plot) heading(r *report) {
	p.line(strings.Join(r.Command, " "))
	text := r.State
	if c := r.Cause; c != nil {
		text += ", " + string(c.Kind)
		if c.By != nil {
			text += " by " + c.By.Signal + describeReportBy(c.By)
		}
		if c.Error != "" {
			text += " (" + string(c.Step) + ": " + c.Error + ")"
		}
		for _, also := range c.Also {
			text += ", then " + string(also)
		}
	}
	if r.ExitStatus != nil {
		text += fmt.Sprintf(", exit status %d", *r.ExitStatus)
	}
	p.line(text + ", after " + plotTime(p.total))
	p.line(fmt.Sprintf("%s, pid %d, started %s", r.Role, r.PID, r.Started))
}

func describeReportBy(by *reportBy) string {
	switch by.From {
	case "outside":
		return " from outside the PID namespace"
	case "kernel":
		return " from the kernel"
	case "":
		return ""
	}
	text := fmt.Sprintf(" from %s (pid %d)", by.Comm, by.PID)
	if by.From == "claimed" {
		text += ", as the sender claims"
	}
	return text
}

// rows are the states, each followed by the rungs that were taken in it.
func (p *plot) rows(r *report) []plotRow {
	var rows []plotRow
	ladder := r.Ladder
	rungs := func(before float64) {
		for len(ladder) > 0 && ladder[0].AtMS < before {
			rung := ladder[0]
			what := rung.Step + " to " + rung.Target
			if rung.Result != "sent" {
				what += ": " + rung.Result
			}
			rows = append(rows, plotRow{rung.AtMS, rung.AtMS, what, ""})
			ladder = ladder[1:]
		}
	}
	for i, s := range r.States {
		if s.State == ending.StateEnded.String() {
			rungs(math.Inf(1))
			rows = append(rows, plotRow{s.AtMS, s.AtMS, s.State, ""})
			break
		}
		end := p.total
		if i+1 < len(r.States) {
			end = r.States[i+1].AtMS
		}
		rungs(s.AtMS)
		rows = append(rows, plotRow{s.AtMS, end, s.State, s.State})
	}
	rungs(math.Inf(1))
	return rows
}

// The columns before the bar: the time, and what happened.
const (
	timeColumns = 10
	whatColumns = 20
)

func (p *plot) row(r plotRow) {
	room := p.style.Width - timeColumns - whatColumns - 2
	label := fmt.Sprintf("%*s  %s", timeColumns, plotTime(r.from), text.Printable(r.what))
	if room < 10 { // the bar goes first
		p.line(label)
		return
	}
	p.text.WriteString(padTo(label, timeColumns+2+whatColumns))
	from, to := p.column(r.from, room), p.column(r.to, room)
	p.text.WriteString(strings.Repeat(" ", from))
	if r.state == "" {
		p.text.WriteString(p.paint("|", ""))
	} else {
		p.text.WriteString(p.paint(strings.Repeat(p.fill(r.state), max(1, to-from)), r.state))
	}
	p.text.WriteByte('\n')
}

// column is where a time is in a bar of so many columns. One that is out of the bar is at its end.
func (p *plot) column(ms float64, columns int) int {
	if p.total <= 0 {
		return 0
	}
	part := min(max(0, ms/p.total), 1) // before it is an int, which may be too small for it
	return min(int(part*float64(columns)), columns-1)
}

func (p *plot) fill(state string) string {
	calm := state == ending.StateRunning.String()
	switch {
	case p.style.Unicode && calm:
		return "░"
	case p.style.Unicode:
		return "█"
	case calm:
		return "="
	}
	return "#"
}

func (p *plot) paint(text, state string) string {
	if !p.style.Colour {
		return text
	}
	color := "1" // bold
	switch state {
	case ending.StateRunning.String():
		color = "32" // green
	case ending.StateStopping.String(), ending.StateLeftovers.String():
		color = "33" // yellow
	case ending.StateKilling.String(), ending.StateSurvey.String():
		color = "31" // red
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// line writes a line, cut to the width.
func (p *plot) line(words string) {
	words = text.Printable(words)
	if text.Width(words) > p.style.Width {
		words = text.Cut(words, p.style.Width-3) + "..."
	}
	p.text.WriteString(words + "\n")
}

// padTo makes words exactly so many columns.
func padTo(words string, columns int) string {
	if text.Width(words) > columns-1 {
		words = text.Cut(words, columns-2) + "~"
	}
	return text.Pad(words, columns)
}

func plotTime(ms float64) string {
	const most = 1 << 62 // ns
	d := time.Duration(max(-most, min(ms*float64(time.Millisecond), most)))
	if d < time.Hour {
		return fmt.Sprintf("%.3f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}
