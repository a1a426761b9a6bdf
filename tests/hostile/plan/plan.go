// Package plan is what the tests and the attacker have in common: what it is to do, and what it
// says that it has done.
package plan

import (
	"encoding/json"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Env is the environment variable that has the plan, as JSON.
const Env = "HOSTILE_PLAN"

// Plan is what the command does.
type Plan struct {
	Seed      uint64 // of what the attacks draw themselves
	Command   []Step // one after the other, once, by the command itself
	Leftover  []Step // again and again until it is killed, by a process that the command leaves
	End       string // sleep, stop (itself, by SIGSTOP) or exit
	Exit      int    // the status of exit
	Protected bool   // finite is to be out of reach: to get at its memory or descriptors is a breach
	Perfmon   bool   // but what CAP_PERFMON allows, which comes with CAP_SYS_ADMIN
	Freeze    bool   // the command may be frozen: a deadline ends it
	Log       string // a file that gets Lines, one object a line
	Records   string // the directory of what options name
	Victim    string // a file that finite has no business with
	Finite    string // finite's binary, as finite was started
	Cgroup    string // a delegated cgroup v2; empty: there is none
}

// Step is an attack, and on whom.
type Step struct {
	Attack string
	Target string // front, keeper, supervisor or all
}

// Line is something that the attacker says.
type Line struct {
	Event   string // started, ready, tried, breach, missing, ending
	At      int64  // ns of CLOCK_MONOTONIC
	PID     int    `json:",omitempty"`
	Step    Step
	Tries   int            `json:",omitempty"`
	Results map[string]int `json:",omitempty"` // how often each error came back; ok: none did
	Text    string         `json:",omitempty"`
}

// Write appends a line to the log, whole.
func (p *Plan) Write(l Line) {
	l.At, l.PID = Now(), os.Getpid()
	text, err := json.Marshal(l)
	if err != nil {
		return
	}
	fd, err := unix.Open(p.Log, unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, append(text, '\n'))
	unix.Close(fd)
}

// Now is the time of CLOCK_MONOTONIC.
func Now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// Between is a time between two of Now.
func Between(from, to int64) time.Duration { return time.Duration(to - from) }
