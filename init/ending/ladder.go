package ending

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

// Ladder is what is done, step by step, to a command that is to end. Its last rung is SIGKILL to
// everything.
type Ladder []LadderRung

// LadderRung is one step of a [Ladder].
type LadderRung struct {
	// After is when: from the deadline on, or from what else began the ending. Less than 0 is
	// before the deadline.
	After time.Duration
	// Signal is what is sent; 0 stands for a snapshot of the tree.
	Signal unix.Signal
}

// dumpRung is what a rung that takes a snapshot is called.
const dumpRung = "DUMP"

// maxRungs bounds a ladder.
const maxRungs = 64

// ParseLadder reads a ladder such as USR1@-60s,QUIT@0,TERM@5s,KILL@15s: signals, or DUMP for a
// snapshot of the tree, each with the time at which it is due as duration reads it, in order. The
// error names the rung.
func ParseLadder(s string, duration func(string) (time.Duration, error)) (Ladder, error) {
	var l Ladder
	for text := range strings.SplitSeq(s, ",") {
		rung, err := parseRung(strings.TrimSpace(text), duration)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", text, err)
		}
		l = append(l, rung)
	}
	return l, l.Check()
}

func parseRung(s string, duration func(string) (time.Duration, error)) (LadderRung, error) {
	step, at, ok := strings.Cut(s, "@")
	if !ok {
		return LadderRung{}, errors.New("no time: a rung is SIGNAL@D, as in TERM@5s")
	}
	var rung LadderRung
	var err error
	if !strings.EqualFold(step, dumpRung) {
		if rung.Signal, err = signals.Parse(step); err != nil {
			return LadderRung{}, err
		}
	}
	length, before := strings.CutPrefix(at, "-")
	if rung.After, err = duration(length); err != nil {
		return LadderRung{}, err
	}
	if before {
		rung.After = -rung.After
	}
	return rung, nil
}

// String is the form that ParseLadder reads.
func (l Ladder) String() string {
	var b strings.Builder
	for i, r := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(r.String())
	}
	return b.String()
}

func (r LadderRung) String() string {
	name := dumpRung
	if r.Signal != 0 {
		name = strings.TrimPrefix(signals.Name(r.Signal), "SIG")
	}
	return name + "@" + r.After.String()
}

// Check returns what is wrong with the ladder by itself.
func (l Ladder) Check() error {
	switch {
	case len(l) == 0 || l[len(l)-1].Signal != unix.SIGKILL:
		return errors.New("must end with KILL")
	case len(l) > maxRungs:
		return fmt.Errorf("must have at most %d rungs", maxRungs)
	case l.KillAfter() < 0:
		return errors.New("KILL must not be before the deadline")
	}
	for i, r := range l {
		switch {
		case i > 0 && r.After < l[i-1].After:
			return fmt.Errorf("%v must not be before the rung in front of it", r)
		case i > 0 && r == l[i-1]:
			return fmt.Errorf("%v is there twice", r)
		case r.Signal == unix.SIGKILL && i < len(l)-1:
			return errors.New("nothing can come after KILL")
		case r.Signal == unix.SIGSTOP:
			return errors.New("SIGSTOP ends nothing")
		case r.Signal < 0 || r.Signal > signals.RTMax:
			return fmt.Errorf("%d is not a signal", int(r.Signal))
		}
	}
	return nil
}

// from returns the rungs that are due at t or later.
func (l Ladder) from(t time.Duration) Ladder {
	for i := range l {
		if l[i].After >= t {
			return l[i:]
		}
	}
	return nil
}

// Group returns the end of the rungs that are due at the same time as the one at index first.
func (l Ladder) Group(first int) int {
	end := first + 1
	for end < len(l) && l[end].After == l[first].After {
		end++
	}
	return end
}

// KillAfter is when the ladder ends.
func (l Ladder) KillAfter() time.Duration { return l[len(l)-1].After }

// Immediate reports whether neither a signal nor any time comes before SIGKILL.
func (l Ladder) Immediate() bool { return l.KillAfter() == 0 && l.Signal() == unix.SIGKILL }

// Signal returns the first one that is sent; 0 if none is.
func (l Ladder) Signal() unix.Signal {
	for _, r := range l {
		if r.Signal != 0 {
			return r.Signal
		}
	}
	return 0
}

// Dumps reports whether it takes a snapshot.
func (l Ladder) Dumps() bool {
	for _, r := range l {
		if r.Signal == 0 {
			return true
		}
	}
	return false
}

// Announce says what will be done: "SIGQUIT, SIGTERM in 5s, and SIGKILL to everything in 15s".
func (l Ladder) Announce() string {
	var b strings.Builder
	for i, r := range l {
		switch {
		case i == 0:
		case i == len(l)-1:
			b.WriteString(", and ")
		default:
			b.WriteString(", ")
		}
		switch r.Signal {
		case 0:
			b.WriteString("a snapshot")
		case unix.SIGKILL:
			b.WriteString("SIGKILL to everything")
		default:
			b.WriteString(signals.Name(r.Signal))
		}
		if r.After != 0 {
			fmt.Fprintf(&b, " in %v", r.After)
		}
	}
	return b.String()
}
