package ending

import (
	"errors"
	"strings"
	"time"
)

// The times of an ending have one encoding in a configuration: 0 stands for the default, a length
// for itself, and these two for what is no length.
const (
	AtOnce time.Duration = -1 // no time at all
	Never  time.Duration = -2 // no limit
)

// ParseName returns the number of a name.
func ParseName[T ~uint8](s string, names []string) (T, error) {
	for i, name := range names {
		if s == name {
			return T(i), nil
		}
	}
	last := len(names) - 1
	return 0, errors.New("must be " + strings.Join(names[:last], ", ") + " or " + names[last])
}

// Leftovers says what happens to the rest of the tree when the command itself has ended.
type Leftovers uint8

// The policies.
const (
	LeftoversTerminate Leftovers = iota // the stop signal and SIGCONT, then, after the grace time, SIGKILL
	LeftoversKill                       // SIGKILL at once
	// Wait until they end by themselves; a stop signal or the deadline terminates them.
	LeftoversWait
	LeftoversLeave // leave them to the next reaper; not as PID 1
)

var leftoversNames = [...]string{"terminate", "kill", "wait", "leave"}

func (l Leftovers) String() string { return leftoversNames[l] }

// ParseLeftovers reads the name of a policy.
func ParseLeftovers(s string) (Leftovers, error) { return ParseName[Leftovers](s, leftoversNames[:]) }

// Forward says who gets the signals that arrive.
type Forward uint8

// The targets.
const (
	ForwardChild Forward = iota // the command's direct process
	ForwardGroup                // its process group
	ForwardAll                  // the whole tree
)

var forwardNames = [...]string{"child", "group", "all"}

func (f Forward) String() string { return forwardNames[f] }

// ParseForward reads the name of a target.
func ParseForward(s string) (Forward, error) { return ParseName[Forward](s, forwardNames[:]) }

// CgroupMode says whether the command gets a cgroup of its own.
type CgroupMode uint8

// The modes.
const (
	// Where one can be made and an ending is foreseen: a deadline, a stop grace time, a lifeline,
	// or a context that can end.
	CgroupAuto    CgroupMode = iota
	CgroupOff                // never
	CgroupRequire            // always, or the command is not started
)

var cgroupNames = [...]string{"auto", "off", "require"}

func (m CgroupMode) String() string { return cgroupNames[m] }

// ParseCgroupMode reads the name of a mode.
func ParseCgroupMode(s string) (CgroupMode, error) { return ParseName[CgroupMode](s, cgroupNames[:]) }
