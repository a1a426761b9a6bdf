package inspect

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/finite-init/finite/internal/text"
)

const shownThreads = 5 // of one process

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
			more := text.Plural(len(p.StuckThreads)-i, "more thread", "more threads")
			lines = append(lines, more+" like these")
			break
		}
		where := after(",", place(t.WChan))
		lines = append(lines, fmt.Sprintf("thread %d %s %s%s", t.TID, t.State, t.Comm, where))
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
