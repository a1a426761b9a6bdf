package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stat is what /proc/PID/stat says, as far as it is used here (proc_pid_stat(5)).
type Stat struct {
	PID                  int
	Comm                 string
	State                byte // R, S, D, T, t, Z, X, I
	PPID                 int
	PGRP                 int
	Session              int
	UserTime, SystemTime uint64 // processor time that it and its threads have used, in clock ticks
	StartTime            uint64 // clock ticks after boot; with PID it names a process for good
	ExitCode             int    // field 52, a wait(2) status; 0 where it is hidden
}

// Status is what /proc/PID/status says, as far as it is used here (proc_pid_status(5)).
type Status struct {
	Name      string
	State     byte
	TGID      int // the PID of the process that a thread is of
	TracerPID int
	UID       int // real user ID, as seen from the reader's user namespace
	PPID      int
	NSpid     []int // PIDs from the reader's namespace inwards
	PGRP      int   // 0 before Linux 4.1
	Session   int
	Threads   int
	RSSKB     int64  // VmRSS; 0 for a kernel thread and a zombie
	SigPnd    uint64 // pending for the thread
	ShdPnd    uint64 // pending for the process
	SigBlk    uint64
	SigIgn    uint64
	SigCgt    uint64

	HasMemory    bool // not so of a kernel thread, a zombie, and a process that is on its way out
	CoreDumping  bool // Linux 4.15
	KernelThread bool // Linux 6.8; before that, who ignores all signals is taken for one
}

// ErrMalformed is what a text of the kernel is that is not of the form that proc(5) describes.
var ErrMalformed = errors.New("malformed")

// ParseStat reads the text of /proc/PID/stat. The name stands in parentheses and may itself hold
// any byte, parentheses and newlines among them, so the last closing one counts.
func ParseStat(b []byte) (Stat, error) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 2 || end < open {
		return Stat{}, fmt.Errorf("stat: %w", ErrMalformed)
	}
	var s Stat
	var err error
	if s.PID, err = strconv.Atoi(string(bytes.TrimSpace(b[:open]))); err != nil {
		return Stat{}, fmt.Errorf("stat: pid: %w", err)
	}
	s.Comm = string(b[open+1 : end])
	field := 2
	for f := range bytes.FieldsSeq(b[end+1:]) {
		field++
		var target *int
		switch field {
		case 3:
			if s.State = f[0]; len(f) != 1 || !isLetter(s.State) {
				return Stat{}, fmt.Errorf("stat: state: %w", ErrMalformed)
			}
		case 4:
			target = &s.PPID
		case 5:
			target = &s.PGRP
		case 6:
			target = &s.Session
		case 14, 15, 22:
			if err := s.setTime(field, f); err != nil {
				return Stat{}, fmt.Errorf("stat: field %d: %w", field, err)
			}
		case 52:
			target = &s.ExitCode
		}
		if target == nil {
			continue
		}
		if *target, err = strconv.Atoi(string(f)); err != nil {
			return Stat{}, fmt.Errorf("stat: field %d: %w", field, err)
		}
	}
	if field < 22 {
		return Stat{}, fmt.Errorf("stat: %d fields: %w", field, ErrMalformed)
	}
	return s, nil
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// ticks is how many clock ticks of /proc make a second (USER_HZ): 100 on every architecture that Go
// runs on.
const ticks = 100

// fromTicks returns so many clock ticks as a duration: 146 years at most, so that a sum of two is
// in range.
func fromTicks(n uint64) time.Duration {
	const tick = time.Second / ticks
	return time.Duration(min(n, math.MaxInt64/2/uint64(tick))) * tick
}

// CPU is the processor time that the process and its threads have used.
func (s *Stat) CPU() time.Duration { return fromTicks(s.UserTime) + fromTicks(s.SystemTime) }

// Age is how long ago the process was made.
func (s *Stat) Age() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) // Linux 2.6.39
	return max(0, time.Duration(now.Nano())-fromTicks(s.StartTime))
}

func (s *Stat) setTime(field int, text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 64)
	switch field {
	case 14:
		s.UserTime = n
	case 15:
		s.SystemTime = n
	case 22:
		s.StartTime = n
	}
	return err
}

// parseParent returns the PPid of a text of /proc/PID/status. The name, in which the kernel writes
// a newline as \n, cannot hold such a line.
func parseParent(b []byte) (int, error) {
	_, rest, ok := bytes.Cut(b, []byte("\nPPid:\t"))
	number, _, ends := bytes.Cut(rest, []byte("\n"))
	if !ok || !ends {
		return 0, fmt.Errorf("status: no PPid: %w", ErrMalformed)
	}
	pid, err := strconv.Atoi(string(number))
	if err != nil {
		return 0, fmt.Errorf("status: PPid: %w", err)
	}
	return pid, nil
}

// ParseStatus reads the text of /proc/PID/status. Lines it does not know are passed over; a line it
// knows and cannot read is an error.
func ParseStatus(b []byte) (Status, error) {
	var s Status
	for line := range bytes.Lines(b) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		if string(key) == "Name" {
			s.Name = statusName(value)
		} else if err := s.set(string(key), bytes.TrimSpace(value)); err != nil {
			return Status{}, fmt.Errorf("status: %s: %w", key, err)
		}
	}
	if s.State == 0 {
		return Status{}, fmt.Errorf("status: no State: %w", ErrMalformed)
	}
	return s, nil
}

// statusName returns the name of a process that is escaped as in status: the kernel writes a
// newline as \n, a backslash as \\, and any other byte as it is.
func statusName(value []byte) string {
	name := string(bytes.TrimSuffix(bytes.TrimPrefix(value, []byte("\t")), []byte("\n")))
	if !strings.Contains(name, `\`) {
		return name
	}
	return strings.NewReplacer(`\n`, "\n", `\\`, `\`).Replace(name)
}

func (s *Status) set(key string, value []byte) (err error) {
	first, _, _ := bytes.Cut(value, []byte("\t"))
	switch key {
	case "State":
		if len(value) == 0 || !isLetter(value[0]) {
			return ErrMalformed
		}
		s.State = value[0]
	case "Tgid":
		s.TGID, err = strconv.Atoi(string(value))
	case "TracerPid":
		s.TracerPID, err = strconv.Atoi(string(value))
	case "PPid":
		s.PPID, err = strconv.Atoi(string(value))
	case "Uid":
		s.UID, err = strconv.Atoi(string(first))
	case "NSpid":
		s.NSpid = nil
		for f := range bytes.FieldsSeq(value) {
			n, err := strconv.Atoi(string(f))
			if err != nil {
				return err
			}
			s.NSpid = append(s.NSpid, n)
		}
	case "NSpgid":
		s.PGRP, err = strconv.Atoi(string(first))
	case "NSsid":
		s.Session, err = strconv.Atoi(string(first))
	case "Threads":
		s.Threads, err = strconv.Atoi(string(value))
	case "VmRSS":
		number, _, _ := bytes.Cut(value, []byte(" "))
		s.HasMemory = true
		s.RSSKB, err = strconv.ParseInt(string(number), 10, 64)
	case "SigPnd":
		s.SigPnd, err = parseMask(value)
	case "ShdPnd":
		s.ShdPnd, err = parseMask(value)
	case "SigBlk":
		s.SigBlk, err = parseMask(value)
	case "SigIgn":
		s.SigIgn, err = parseMask(value)
		s.KernelThread = s.KernelThread || s.SigIgn == ^uint64(0)
	case "SigCgt":
		s.SigCgt, err = parseMask(value)
	case "CoreDumping":
		s.CoreDumping = string(value) == "1"
	case "Kthread":
		s.KernelThread = string(value) == "1"
	}
	return err
}

func parseMask(b []byte) (uint64, error) {
	return strconv.ParseUint(string(b), 16, 64)
}

// AppendChildren appends the PIDs in the text of /proc/PID/task/TID/children: numbers with a blank
// after each. 0 is a child that has no PID here. Anything else that is no PID ends the list.
func AppendChildren(pids []int, b []byte) []int {
	for len(b) > 0 {
		word, rest, _ := bytes.Cut(b, []byte(" "))
		pid, ok := ParsePID(word)
		if ok {
			pids = append(pids, pid)
		} else if len(word) > 0 && string(word) != "0" {
			return pids
		}
		b = rest
	}
	return pids
}

// Keyed reads a number out of a file of lines of the form "key number".
func Keyed(b []byte, key string) (int, bool) {
	for line := range bytes.Lines(b) {
		k, v, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		if string(k) != key {
			continue
		}
		n, err := strconv.Atoi(string(v))
		return n, err == nil && n >= 0
	}
	return 0, false
}

// ParsePID reads a PID: decimal digits alone, from 1 to 2^31-1. So whatever the text is, the result
// is fit for kill(2), to which 0 and numbers below are groups of processes.
func ParsePID[T ~string | ~[]byte](text T) (pid int, ok bool) {
	for i := range len(text) {
		c := text[i]
		if c < '0' || c > '9' || pid > math.MaxInt32 {
			return 0, false
		}
		pid = pid*10 + int(c-'0')
	}
	return pid, pid > 0 && pid <= math.MaxInt32
}
