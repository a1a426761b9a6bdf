package inspect

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/signals"
)

// Schema is the form of an [Inspection] as JSON. docs/inspect.md describes it.
const Schema = "finite.inspect/v1"

// Inspection says of processes why they have not ended, at a moment. Parents come before their
// children.
type Inspection struct {
	Schema    string      `json:"schema"`
	At        time.Time   `json:"at"`
	PID       int         `json:"pid,omitempty"` // who was asked for; 0: all
	Processes []Inspected `json:"processes"`
	Zombies   []Unreaped  `json:"zombies,omitempty"`
	PIDLimits []PIDLimit  `json:"pids_limits,omitempty"`
	// KernelThreads counts those that are left out: all that are not in uninterruptible sleep.
	KernelThreads int `json:"kernel_threads,omitempty"`
	// Unreadable counts those of which /proc shows the number, and no more.
	Unreadable int `json:"unreadable,omitempty"`
	// HidePID is the option of /proc (proc(5)) by which it may hide others from this user.
	HidePID    string `json:"hidepid,omitempty"`
	Left       int    `json:"left,omitempty"`       // how many more there are: maxInspected are read
	Incomplete bool   `json:"incomplete,omitempty"` // something could not be read in time
}

// Inspected is what is known of one process. What could not be read is zero.
type Inspected struct {
	Process
	ParentComm string      `json:"parent_comm,omitempty"`
	TracerComm string      `json:"tracer_comm,omitempty"`
	NSpid      []int       `json:"nspid,omitempty"`   // its PIDs, from the reader's namespace inwards
	Pending    SignalNames `json:"pending,omitempty"` // for the process, or its main thread
	Blocked    SignalNames `json:"blocked,omitempty"` // by its main thread
	Ignored    SignalNames `json:"ignored,omitempty"`
	Caught     SignalNames `json:"caught,omitempty"`
	// Cgroup is the one in v2 or, where that says nothing, in v1's hierarchy for pids.
	Cgroup      string `json:"cgroup,omitempty"`
	FrozenBy    string `json:"frozen_by,omitempty"`
	CoreDumping bool   `json:"core_dumping,omitempty"`
	// StuckThreads are those of its other threads that are held in the kernel or by a tracer.
	StuckThreads []StuckThread `json:"stuck_threads,omitempty"`
	// Stack is its kernel stack, innermost first, where this process may read it (CAP_SYS_ADMIN).
	Stack   []string `json:"stack,omitempty"`
	Ended   string   `json:"ended,omitempty"` // of a zombie: how, where the kernel tells
	Hangs   []string `json:"hangs,omitempty"` // files of its /proc directory that did not answer
	Verdict string   `json:"verdict"`         // why it has not ended, in plain words
	// Stuck says that it does not act on a signal, be it SIGKILL or SIGTERM, before something else
	// happens.
	Stuck bool `json:"stuck"`

	level       level       // how bad the verdict is
	kernel      bool        // a kernel thread
	hasMemory   bool        // not so of who is on the way out
	killed      bool        // it was sent SIGKILL, unless it may not be signalled
	refused     bool        // it may not be signalled from here
	frozenV1    bool        // frozen by v1's freezer, which SIGKILL waits for
	parentState byte        // 0: not known
	waitsFor    string      // a child that keeps a PID namespace
	limits      []*PIDLimit // that it counts in
}

// StuckThread is a thread that keeps its process from ending.
type StuckThread struct {
	TID   int    `json:"tid"`
	Comm  string `json:"comm"`
	State string `json:"state"`
	WChan string `json:"wchan,omitempty"`
}

// Unreaped is a parent with the zombies that it has not reaped.
type Unreaped struct {
	Parent int    `json:"parent"` // 0: it is outside this PID namespace
	Comm   string `json:"comm,omitempty"`
	PIDs   []int  `json:"pids"`
}

// SignalNames is a set of signals that is written as a list of names.
type SignalNames signals.Set

// Has reports whether sig is in s.
func (s SignalNames) Has(sig unix.Signal) bool { return signals.Set(s).Has(sig) }

func (s SignalNames) names() []string {
	names := make([]string, 0, signals.Set(s).Len())
	for sig := unix.Signal(1); sig <= signals.RTMax; sig++ {
		if s.Has(sig) {
			names = append(names, signals.Name(sig))
		}
	}
	return names
}

// MarshalJSON writes the names.
func (s SignalNames) MarshalJSON() ([]byte, error) { return json.Marshal(s.names()) }

// String lists the names without SIG; of a set with most signals in it, those that are not. KILL
// and STOP are in none.
func (s SignalNames) String() string {
	all, but := s, ""
	if signals.Set(s).Len() > 32 {
		all, but = ^s&^SignalNames(signals.SetOf(unix.SIGKILL, unix.SIGSTOP)), "all but "
		if all == 0 {
			return "all"
		}
	}
	return but + strings.ReplaceAll(strings.Join(all.names(), " "), "SIG", "")
}

// JSON returns the inspection as one object in one line.
func (r *Inspection) JSON() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return append(text, '\n'), nil
}
