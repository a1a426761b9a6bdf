package simkernel

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
)

// NewProc returns a reader of this world's /proc.
func (k *Kernel) NewProc() *procfs.Proc { return procfs.NewProcOf((*files)(k)) }

// files is the world's /proc.
type files Kernel

// Self is empty where /proc is not mounted.
func (f *files) Self() (link string, pid int) {
	if f.Faults.NoProc {
		return "", selfPID
	}
	return strconv.Itoa(selfPID), selfPID
}

// Links is that of the directory of one thread.
func (f *files) Links(string) (int, error) { return 3, nil }

// ReadFile reads a file of a process.
func (f *files) ReadFile(path string, buf []byte) (text, longer []byte, err error) {
	k := (*Kernel)(f)
	k.call(max(readCall, k.Faults.SlowProc))
	k.mu.Lock()
	defer k.mu.Unlock()
	pid, name, ok := split(path)
	p := k.find(pid)
	if !ok || p == nil {
		return nil, buf, unix.ENOENT
	}
	text = buf[:0]
	switch {
	case name == "stat":
		for p.hangs && !p.ended && !k.closed {
			k.changed.Wait()
		}
		if p.gone || k.closed {
			return nil, buf, unix.ESRCH
		}
		text = p.appendStat(text)
	case name == "status":
		text = p.appendStatus(text)
	case name == "comm":
		text = append(text, p.name...)
	case strings.HasSuffix(name, "/children"):
		if k.Faults.NoChildren {
			return nil, buf, unix.ENOENT
		}
		text = appendChildren(text, p.children)
	default:
		return nil, buf, unix.EACCES
	}
	return text, buf, nil
}

func split(path string) (pid int, name string, ok bool) {
	number, name, _ := strings.Cut(path, "/")
	pid, err := strconv.Atoi(number)
	return pid, name, err == nil
}

func (k *Kernel) find(pid int) *process {
	if pid <= 0 || pid >= maxPID {
		return nil
	}
	return k.pids[pid]
}

// Numbers lists processes, or the one thread of a process.
func (f *files) Numbers(path string) (found []int, err error) {
	k := (*Kernel)(f)
	k.call(readCall)
	k.mu.Lock()
	defer k.mu.Unlock()
	if path == "." {
		for _, p := range k.pids {
			if p != nil {
				found = append(found, p.pid)
			}
		}
		return found, nil
	}
	if pid, _, _ := split(path); k.find(pid) != nil {
		return []int{pid}, nil
	}
	return nil, unix.ENOENT
}

func appendChildren(b []byte, children []*process) []byte {
	for _, c := range children {
		b = append(strconv.AppendInt(b, int64(c.pid), 10), ' ')
	}
	return b
}

// exitCode is a status of wait(2).
func (p *process) exitCode() int {
	switch {
	case !p.ended:
		return 0
	case p.change.Signal() != 0:
		return p.change.Status
	}
	return p.change.Status << 8
}

func (p *process) parentPID() int { return p.parent.pid }

var zeros = strings.Repeat(" 0", 29)

func (p *process) appendStat(b []byte) []byte {
	b = fmt.Appendf(
		b,
		"%d (%s) %c %d %d %d",
		p.pid,
		p.name,
		p.state(),
		p.parentPID(),
		p.leader.pid,
		p.leader.pid,
	)
	b = append(b, zeros[:2*15]...)
	b = fmt.Appendf(b, " %d", p.start)
	b = append(b, zeros...)
	return fmt.Appendf(b, " %d\n", p.exitCode())
}

func (p *process) appendStatus(b []byte) []byte {
	tracer := 0
	if p.held {
		tracer = 1
	}
	b = fmt.Appendf(b, "Name:\t%s\nState:\t%c\nTgid:\t%d\nPPid:\t%d\nTracerPid:\t%d\nUid:\t0\nThreads:\t1\n",
		p.name, p.state(), p.pid, p.parentPID(), tracer)
	if !p.ended {
		b = append(b, "VmRSS:\t1 kB\n"...)
	}
	return fmt.Appendf(
		b,
		"NSpid:\t%d\nSigPnd:\t0\nShdPnd:\t%x\nSigBlk:\t0\nSigIgn:\t0\nSigCgt:\t0\n",
		p.pid,
		p.pending,
	)
}

// childrenLatency is what one look at the open list of children takes, at most.
const childrenLatency = 60 * time.Microsecond
