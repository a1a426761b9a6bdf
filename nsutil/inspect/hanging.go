package inspect

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/signals"
)

// readOrHang reads a file that hangs while the process is stuck in execve(2), unless another one of
// the process's has hung already.
func readOrHang[T any](in *inspector, p *Inspected, file string, f func(*procfs.Proc) T) (value T, ok bool) {
	if len(p.Hangs) > 0 {
		return value, false
	}
	lost := in.reader.Lost
	if value, ok = procfs.Within(in.reader, f); ok {
		return value, true
	}
	in.result.Incomplete = true
	if in.reader.Lost > lost && !in.reader.Late() {
		p.Hangs = append(p.Hangs, file)
	}
	return value, false
}

func (in *inspector) readWChan(p *Inspected) {
	pid := p.PID
	p.WChan, _ = readOrHang(in, p, "wchan", func(proc *procfs.Proc) string { return proc.WChan(pid) })
	for i := range p.StuckThreads {
		t := &p.StuckThreads[i]
		path := "task/" + strconv.Itoa(t.TID) + "/wchan"
		t.WChan, _ = readOrHang(in, p, "wchan", func(proc *procfs.Proc) string {
			return procfs.ParseWChan(proc.Read(pid, path))
		})
	}
}

func (in *inspector) readTimes(p *Inspected) {
	pid := p.PID
	st, ok := readOrHang(in, p, "stat", func(proc *procfs.Proc) (st procfs.Stat) {
		st, _ = proc.Stat(pid)
		return st
	})
	if !ok || st.PID != pid {
		return
	}
	p.time(&st)
	if p.State == "Z" {
		p.Ended = endedHow(unix.WaitStatus(st.ExitCode))
	}
}

// endedHow returns nothing for status 0, which is also what the kernel says to who may not know.
func endedHow(ws unix.WaitStatus) string {
	switch {
	case ws == 0:
		return ""
	case ws.Signaled():
		return signals.Name(ws.Signal())
	}
	return "exit status " + strconv.Itoa(ws.ExitStatus())
}

// readStack reads the kernel stack of those who may be stuck in the kernel, and of who was asked
// for.
func (in *inspector) readStack(p *Inspected) {
	if p.State != "D" && !p.isEnding() && !p.Pending.Has(unix.SIGKILL) && !p.killed && p.PID != in.asked {
		return
	}
	pid := p.PID
	p.Stack, _ = readOrHang(in, p, "stack", func(proc *procfs.Proc) []string {
		b, err := proc.Read(pid, "stack")
		if err != nil {
			return nil
		}
		return parseStack(b)
	})
}

// parseStack reads the text of /proc/PID/stack: lines of the form "[<0>] function+0x12/0x34".
func parseStack(b []byte) []string {
	var frames []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if _, frame, ok := strings.Cut(line, "] "); ok {
			line = frame
		}
		if line != "" {
			frames = append(frames, line)
		}
	}
	return frames
}
