//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// Facts is what the keeper knows of the run. A supervisor is a fork of the keeper, and so starts
// with a copy. A fact about an action is written before the action. Times are nanoseconds of
// CLOCK_MONOTONIC; 0 is never.
type Facts struct {
	Keeper   int32 // the keeper's PID
	Front    int32 // the front's PID; 0: there is no front
	Init     bool  // the keeper is PID 1
	Planned  bool  // the keeper is in namespaces that were made for it, or that it joined
	Paused   bool  // there is no command to wait for (--pause)
	Foreign  bool  // the front is in another PID namespace, and tells of PIDs by their numbers there
	Command  int32 // the command's PID; 0: the command was not started
	Pidfd    int32 // a pidfd of the command; -1: the kernel gave none
	Group    bool  // the command leads a process group of its own
	Plain    bool  // the arguments are plain: the keeper understood them without a supervisor
	Parent   int32 // the caller's PID
	ParentFD int32 // a pidfd of the caller; -1: there is none

	Cgroup    int32 // the directory of the command's cgroup; -1: the command is in the keeper's cgroup
	Procs     int32 // cgroup.procs in Cgroup, opened by a planner; -1: nothing has opened it
	Directory int32 // the caller's working directory; -1: no supervisor has asked to keep it

	Mask    uint64 // the signal mask of the start: bit n-1 is signal n
	Ignored uint64 // the signals that were ignored at the start

	Timeout int64 // ns; 0: none
	Grace   int64 // ns; 0: SIGKILL at once

	Started    int64
	StartError int32 // the errno of the execution that failed; 0: none

	Stop    Signal // the first signal that asked for an end; Number 0: none
	StopAt  int64
	Stopped bool // the command is stopped

	DeadlineAt  int64           // when the deadline came
	KilledAt    int64           // when SIGKILL was due
	Rungs       [maxRungs]int64 // when a supervisor took the steps of its ladder after the first
	RungCount   int32
	LifelineAt  int64 // when a supervisor saw the lifeline hang up
	LeftoversAt int64 // when what the command left was sent the stop signal
	LateStatus  int32 // the exit status of a run that is not over at its latest time
	FrontGone   bool  // the front has died

	Ended   Change // the command's end; Code 0: it has not ended
	EndedAt int64
	Dead    int64 // when the keeper took the command for dead, though waitid(2) does not return it

	Forwarded   int32 // signals that were passed on
	Undelivered int32 // signals that were not passed on
	Orphans     int32 // children other than the command that were reaped
	Terminated  int32 // orphans that ended after the command, other than by SIGKILL
	Killed      int32 // orphans that ended after the command, by SIGKILL

	Older      [maxOlder]int32 // children from before finite was executed: they stay untouched
	OlderCount int32

	Records [MaxRecords]Place // where records are, as supervisors have last made them

	Starts      int32 // how often a supervisor was started
	Ordinary    bool  // supervisors are children with an exit signal: the kernel refuses others
	NoSubreaper bool  // the kernel refused PR_SET_CHILD_SUBREAPER
}

// Begun reports whether the run has begun: there is a command, or a pause.
//
//go:nosplit
func (f *Facts) Begun() bool { return f.Command != 0 || f.Paused }

// WasKilled reports whether a supervisor has to say why the command is dead: finite is PID 1 of a
// container, the arguments are plain, and SIGKILL ended the command, but not finite's. The sender
// may be the kernel, which was out of memory.
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
	Name         [16]byte // the sender's name, where the front has looked it up
}

// MaxRecords is how many records a supervisor can have. A record is a file that an option names.
// The supervisor numbers them.
const MaxRecords = 4

// Place is a file and the directory that the file was opened in. The zero value is none.
type Place struct{ File, Directory File }

// File identifies a file (stat(2)). The zero value is none.
type File struct{ Device, Inode uint64 }

// Change is what waitid(2) said of a child.
type Change struct {
	PID          int32
	UID          uint32
	Code, Status int32
	User, System int64 // ns
	MaxRSS       int64 // KiB
}

// facts is what this process knows of the run.
var facts Facts

// maxRungs is how many steps of a ladder are noted.
const maxRungs = 64
