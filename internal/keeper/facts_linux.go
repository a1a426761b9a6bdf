//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Facts is what the keeper knows of the run. A supervisor is a fork of the keeper, and so starts
// with a copy. What is about to be done is written before it is done. Times are nanoseconds of
// CLOCK_MONOTONIC; 0 is never.
type Facts struct {
	Keeper   int32 // the keeper's PID
	Front    int32 // the front's PID; 0: there is none, the keeper is PID 1 of where it was started
	Init     bool  // the keeper is PID 1
	Planned  bool  // it is in namespaces that were made for it, or that it has joined
	Paused   bool  // there is no command to wait for (--pause)
	Foreign  bool  // the front is in another PID namespace: PIDs that it tells of are numbers there
	Command  int32
	Pidfd    int32 // the command's; -1 where the kernel gave none
	Group    bool  // the command leads a process group of its own
	Plain    bool  // the keeper has understood the arguments by itself
	Parent   int32 // the caller's PID; ParentFD is a pidfd of it, -1 where there is none
	ParentFD int32

	Cgroup    int32 // the directory of the cgroup that the command is in, or is to be; -1: it is in the keeper's
	Procs     int32 // cgroup.procs there, which a planner has opened; -1: it is to be opened
	Directory int32 // the caller's working directory, where a supervisor has asked to keep it; -1: it has not

	Mask    uint64 // the signal mask and the ignored signals of the start: bit n-1 is signal n
	Ignored uint64

	Timeout int64 // ns; 0: none
	Grace   int64 // ns; 0: SIGKILL at once

	Started    int64
	StartError int32 // the errno of the execution that failed; 0: none

	Stop    Signal // the first signal that asked for an end; Number 0: none
	StopAt  int64
	Stopped bool // the command is stopped

	DeadlineAt  int64           // when the deadline came
	Late        bool            // it came after the command's end
	KilledAt    int64           // when SIGKILL was due
	Rungs       [maxRungs]int64 // when a supervisor took the steps of its ladder after the first
	RungCount   int32
	LifelineAt  int64 // when a supervisor saw the lifeline hang up
	LeftoversAt int64 // when what the command left was sent the stop signal
	LateStatus  int32 // the exit status where a run is not over at its latest time
	FrontGone   bool  // the front has died

	Ended   Change // the command's end; Code 0: not yet
	EndedAt int64
	Dead    int64 // when the pidfd said that the command is dead, though it cannot be waited for

	Forwarded   int32 // signals that were passed on
	Undelivered int32 // signals that were not
	Orphans     int32 // other children that were reaped
	Terminated  int32 // of these, after the command's end, other than by SIGKILL
	Killed      int32 // and by SIGKILL

	Older      [maxOlder]int32 // children that were there before finite was executed: they are not the command's
	OlderCount int32

	Records [MaxRecords]Place // where what options name is, as supervisors have last made it

	Starts      int32 // how often a supervisor was started
	Ordinary    bool  // supervisors are ordinary children: the kernel refuses others
	NoSubreaper bool  // PR_SET_CHILD_SUBREAPER was refused
}

// WasKilled reports whether somebody has to say why a command is dead that the keeper has run by
// itself as PID 1 of a container: it was killed, and not by finite. The kernel may have done that
// for want of memory.
//
//go:nosplit
func (f *Facts) WasKilled() bool {
	killed := f.Ended.Code != 0 && f.Ended.Code != codeExited && f.Ended.Status == int32(unix.SIGKILL)
	return f.Plain && f.Init && !f.Planned && killed && f.KilledAt == 0
}

// Signal is a signal as it arrived (sigaction(2), signalfd(2)).
type Signal struct {
	Number, Code int32
	PID          int32
	UID          uint32
	Value        uint64
	Name         [16]byte // the sender's, where the front has looked it up
}

// MaxRecords is how many records there can be. Their numbers are the supervisor's.
const MaxRecords = 4

// Place is a file and the directory that it was opened in. The zero value is none.
type Place struct{ File, Directory File }

// File says which file it is (stat(2)). The zero value is none.
type File struct{ Device, Inode uint64 }

// Change is what waitid(2) said of a child.
type Change struct {
	PID          int32
	UID          uint32
	Code, Status int32
	User, System int64 // ns
	MaxRSS       int64 // KiB
}

var facts Facts

const maxRungs = 16
