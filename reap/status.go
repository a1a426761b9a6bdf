package reap

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Code is the kind of a change of state, si_code of SIGCHLD (waitid(2), sigaction(2)).
type Code int32

// The kinds of change.
const (
	CodeExited    Code = 1 // ended by exit(2); Status is the exit status, 0–255
	CodeKilled    Code = 2 // ended by a signal; Status is its number
	CodeDumped    Code = 3 // ended by a signal with a core dump; Status is its number
	CodeTrapped   Code = 4 // stopped under a tracer
	CodeStopped   Code = 5 // stopped by a signal; Status is its number
	CodeContinued Code = 6 // resumed by SIGCONT
)

// Change is what waitid(2) said of one child.
type Change struct {
	PID    int
	UID    int // the child's real user ID
	Code   Code
	Status int // the exit status or the signal, by Code
	Rusage Rusage
}

// Rusage is what an ended child and the children it waited for have used (getrusage(2)).
type Rusage struct {
	User, System time.Duration
	MaxRSS       int64 // KiB
}

// Ended reports whether the child is gone, as opposed to stopped or continued.
func (c Change) Ended() bool {
	return c.Code == CodeExited || c.Code == CodeKilled || c.Code == CodeDumped
}

// Signal returns the signal that ended or stopped the child, 0 if there was none.
func (c Change) Signal() unix.Signal {
	switch c.Code {
	case CodeKilled, CodeDumped, CodeStopped, CodeTrapped:
		return unix.Signal(c.Status)
	}
	return 0
}

func (c Change) String() string {
	switch c.Code {
	case CodeExited:
		return fmt.Sprintf("pid %d exited with status %d", c.PID, c.Status)
	case CodeKilled:
		return fmt.Sprintf("pid %d was ended by signal %d", c.PID, c.Status)
	case CodeDumped:
		return fmt.Sprintf("pid %d was ended by signal %d (core dumped)", c.PID, c.Status)
	case CodeStopped, CodeTrapped:
		return fmt.Sprintf("pid %d was stopped by signal %d", c.PID, c.Status)
	case 0:
		return fmt.Sprintf("pid %d ended, it is not known how", c.PID)
	case CodeContinued:
		return fmt.Sprintf("pid %d was continued", c.PID)
	}
	return fmt.Sprintf("pid %d changed state (code %d, status %d)", c.PID, c.Code, c.Status)
}
