package inspect

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/text"
)

// reason is why a process has not ended. The facts that belong to it are the process's.
type reason uint8

const (
	none            reason = iota // nothing keeps it from ending
	gone                          // dead, and about to vanish
	mainThreadEnded               // other threads go on
	namespaceEnds                 // PID 1 of a PID namespace, which waits for the others in it
	notLetGo                      // a zombie that its tracer has not let go of
	notReaped                     // a zombie
	frozenV1
	frozenV2
	frozenV1Unknown // by which cgroup is not known; the machine may be suspended
	frozenV2Unknown // by which cgroup is not known
	traced
	stopped
	inExec // stuck in execve(2)
	uninterruptible
	threadHeld // in uninterruptible sleep, or by a tracer
	dumpsCore
	ends
	killPending
	kernelThread
	notAllowed // the process may not be signalled from here
	termWaits  // SIGTERM is blocked, and pending
	firstPID   // PID 1 of a PID namespace ignores signals that it does not catch
	ignoresTerm
	blocksTerm
)

// reason finds the first of these that holds, which is the most telling:
//
//   - the process is dead;
//   - SIGKILL could not be sent;
//   - it is frozen, held by a tracer, or stopped, or its execve(2) does not get on;
//   - it is in uninterruptible sleep, or waits for the end of its PID namespace;
//   - one of its threads is held;
//   - it writes a core dump, is ending, or is about to (SIGKILL is pending);
//   - it is a kernel thread, or may not be signalled;
//   - SIGTERM waits, or does nothing.
//
// Of a process that was sent SIGKILL, what SIGKILL overcomes is no reason.
func (p *Inspected) reason() reason {
	switch {
	case p.State == "Z" || p.State == "X":
		return p.whyDead()
	case p.killed && p.refused:
		return notAllowed
	}
	if r := p.whyHeld(); r != none {
		return r
	}
	switch {
	case p.CoreDumping:
		return dumpsCore
	case p.isEnding():
		return ends
	case p.Pending.Has(unix.SIGKILL):
		return killPending
	case p.killed:
		return ends
	}
	return p.whyDeaf()
}

func (p *Inspected) whyDead() reason {
	switch {
	case p.State == "X":
		return gone
	case p.Threads > 1 && p.waitsForNamespace():
		return namespaceEnds
	case p.Threads > 1:
		return mainThreadEnded
	case p.Tracer != 0:
		return notLetGo
	}
	return notReaped
}

func (p *Inspected) whyHeld() reason {
	switch {
	case p.FrozenBy != "" && p.frozenV1:
		return frozenV1
	case p.FrozenBy != "" && !p.killed:
		return frozenV2
	case p.State == "t" || p.State == "T" && p.Tracer != 0:
		return traced
	case p.State == "T" && !p.killed:
		return stopped
	case function(p.WChan) == "do_freezer_trap" && !p.killed:
		return frozenV2Unknown
	case function(p.WChan) == "__refrigerator":
		return frozenV1Unknown
	case len(p.Hangs) > 0:
		return inExec
	case p.State == "D":
		return uninterruptible
	case p.waitsForNamespace():
		return namespaceEnds
	case len(p.StuckThreads) > 0:
		return threadHeld
	}
	return none
}

// whyDeaf says why SIGTERM does not end it.
func (p *Inspected) whyDeaf() reason {
	term := unix.SIGTERM
	switch {
	case p.kernel:
		return kernelThread
	case p.refused:
		return notAllowed
	case p.Blocked.Has(term) && p.Pending.Has(term):
		return termWaits
	case p.isInit() && !p.Caught.Has(term) && !p.Blocked.Has(term):
		return firstPID
	case p.Ignored.Has(term):
		return ignoresTerm
	case p.Blocked.Has(term) && p.Threads < 2: // another thread may take it
		return blocksTerm
	}
	return none
}

// isEnding reports whether it is on its way out: it has no memory any more, and is no zombie yet.
func (p *Inspected) isEnding() bool {
	return !p.hasMemory && !p.kernel && p.State != "Z" && p.State != "X"
}

// isInit reports whether it is PID 1 of a PID namespace.
func (p *Inspected) isInit() bool {
	return p.PID == 1 || len(p.NSpid) > 1 && p.NSpid[len(p.NSpid)-1] == 1
}

// waitsForNamespace reports whether the last thread of a PID namespace's PID 1 is on its way out
// and waits for everybody else there: first it reaps them, then it waits until others have done so
// (zap_pid_ns_processes).
func (p *Inspected) waitsForNamespace() bool {
	waits := func(wchan string) bool {
		return function(wchan) == "do_wait" || function(wchan) == "zap_pid_ns_processes"
	}
	if !p.isInit() {
		return false
	}
	if p.State == "Z" {
		return slices.ContainsFunc(p.StuckThreads, func(t StuckThread) bool { return waits(t.WChan) })
	}
	return p.isEnding() && waits(p.WChan)
}

// words says a reason in plain words, which are the same in a report, in a log and in a verdict.
func (p *Inspected) words(r reason) string {
	switch r {
	case gone:
		return p.dead()
	case mainThreadEnded:
		others := text.Plural(p.Threads-1, "other thread goes", "other threads go")
		return fmt.Sprintf("its main thread has ended, %s on%s", others, p.firstThread("; "))
	case namespaceEnds:
		const words = "PID 1 of a namespace that is ending: waits for the last processes in it"
		return words + after(", ", p.waitsFor)
	case notLetGo:
		return fmt.Sprintf("%s, but its tracer %s has not let go of it", p.dead(), p.tracer())
	case notReaped:
		return fmt.Sprintf("%s, but its parent%s has not reaped it", p.dead(), p.parent())
	case frozenV1:
		return "frozen by the v1 cgroup " + p.FrozenBy + ": even SIGKILL waits until that is thawed"
	case frozenV2:
		return "frozen by the cgroup " + p.FrozenBy
	case frozenV1Unknown:
		return "frozen by a v1 cgroup, or because the machine is suspended: even SIGKILL waits"
	case frozenV2Unknown:
		return "frozen by a cgroup"
	case traced:
		return "held by its tracer " + p.tracer()
	case stopped:
		return "stopped by a signal (T)"
	case inExec:
		return "stuck in execve(2): what /proc says of it does not come" + after(",", place(p.WChan))
	case uninterruptible:
		return asleep(p.WChan)
	case threadHeld:
		return p.firstThread("")
	case dumpsCore:
		return "writing a core dump, and ends after that" + after(",", place(p.WChan))
	case ends:
		return "ending" + after(",", place(p.WChan))
	case killPending:
		return "SIGKILL is pending: ends as soon as it leaves the kernel" + after(",", place(p.WChan))
	case kernelThread:
		return "a kernel thread"
	case notAllowed:
		return fmt.Sprintf("another user's: uid %d, may not be signalled from here", p.UID)
	case termWaits:
		return "blocks SIGTERM, and it is pending"
	case firstPID:
		return "PID 1 of its namespace: signals it does not catch are ignored"
	case ignoresTerm:
		return "ignores SIGTERM"
	case blocksTerm:
		return "blocks SIGTERM, unless it takes it by sigwait or signalfd"
	}
	return p.activity()
}

func (p *Inspected) dead() string {
	if p.Ended == "" {
		return "dead"
	}
	return "dead (" + p.Ended + ")"
}

// parent names the parent of a zombie, and says why it cannot reap.
func (p *Inspected) parent() string {
	if p.PPID == 0 {
		return ", outside this PID namespace,"
	}
	is := ""
	switch p.parentState {
	case 'T':
		is = ", which is stopped,"
	case 't':
		is = ", which is held by a tracer,"
	case 'D':
		is = ", which is in uninterruptible sleep,"
	}
	return " " + named(p.ParentComm, p.PPID) + is
}

func (p *Inspected) tracer() string { return named(p.TracerComm, p.Tracer) }

// firstThread describes the first thread that is held.
func (p *Inspected) firstThread(before string) string {
	if len(p.StuckThreads) == 0 {
		return ""
	}
	t := p.StuckThreads[0]
	text := fmt.Sprintf("%sits thread %s (tid %d) is ", before, t.Comm, t.TID)
	if t.State == "t" {
		return text + "held by the tracer " + p.tracer()
	}
	return text + asleep(t.WChan)
}

// activity is what it does if nothing keeps it from ending.
func (p *Inspected) activity() string {
	switch {
	case p.State == "R":
		return "running"
	case p.State == "I":
		return "idle"
	case p.WChan == "":
		return "sleeping"
	}
	return "waiting" + place(p.WChan)
}

func named(comm string, pid int) string {
	if comm == "" {
		return fmt.Sprintf("(pid %d)", pid)
	}
	return fmt.Sprintf("%s (pid %d)", comm, pid)
}

// after is text with something before it, if there is a text.
func after(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}
