package simkernel

import (
	"math/bits"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/reap"
)

func bit(sig unix.Signal) uint64 { return 1 << (sig - 1) }

// stopSignals are those whose default action is to stop.
const stopSignals = 1<<(unix.SIGTSTP-1) | 1<<(unix.SIGTTIN-1) | 1<<(unix.SIGTTOU-1)

// send is a signal of finite's. The error is that of kill(2).
func (k *Kernel) send(p *process, sig unix.Signal) error {
	if p.foreign {
		p.tried = p.tried || sig == unix.SIGKILL
		return unix.EPERM
	}
	if sig == 0 {
		return nil
	}
	k.trace("finite sends %v to %v%s", unix.SignalName(sig), p, zombie(p))
	if !p.member && !(k.checksAlone() && k.Now()-p.began < checkTime+3*k.Faults.SlowProc) {
		k.violate("%v, which is no part of the tree, is sent %v", p, unix.SignalName(sig))
	}
	k.Sent = append(k.Sent, Sent{At: k.Now(), PID: p.pid, Signal: sig, Command: p == k.command && !p.ended})
	p.killed = p.killed || sig == unix.SIGKILL
	k.deliver(p, sig, true)
	return nil
}

// checkTime is what may pass between the check that a number is still that of a process and the
// signal to it, where pidfds are refused.
const checkTime = 200 * time.Microsecond

// checksAlone reports whether finite has nothing but checks to tell who has a number.
func (k *Kernel) checksAlone() bool {
	f := &k.Faults
	return f.PidfdOpen != 0 || f.PidfdSend != 0 || f.NoFiles
}

func zombie(p *process) string {
	if p.ended {
		return ", a zombie"
	}
	return ""
}

// deliver has a signal arrive.
func (k *Kernel) deliver(p *process, sig unix.Signal, byFinite bool) {
	switch {
	case p.ended:
	case sig == unix.SIGKILL:
		if p.deep {
			p.pending |= bit(sig)
		} else {
			k.end(p, reap.CodeKilled, int(sig))
		}
	case sig == unix.SIGCONT:
		p.pending &^= stopSignals | bit(unix.SIGSTOP)
		if p.stopped {
			p.stopped, p.byFinite = false, false
			p.note, p.noteSig = reap.CodeContinued, sig
			k.changed.Broadcast()
			k.resume(p)
		}
	case sig == unix.SIGSTOP && !p.deep:
		k.stop(p, sig, byFinite)
	case !p.runs():
		p.pending |= bit(sig)
	default:
		k.react(p, sig)
	}
}

func (k *Kernel) stop(p *process, sig unix.Signal, byFinite bool) {
	if p.stopped {
		return
	}
	k.trace("%v stops", p)
	p.stopped, p.byFinite, p.note, p.noteSig = true, byFinite, reap.CodeStopped, sig
	k.changed.Broadcast()
}

// resume is what happens when a process runs again: what is pending, and what it was about to do.
func (k *Kernel) resume(p *process) {
	if p.pending&bit(unix.SIGKILL) != 0 && !p.deep {
		k.end(p, reap.CodeKilled, int(unix.SIGKILL))
		return
	}
	if p.pending&bit(unix.SIGSTOP) != 0 && !p.deep {
		p.pending &^= bit(unix.SIGSTOP)
		k.stop(p, unix.SIGSTOP, p.byFinite)
	}
	for p.pending != 0 && p.runs() {
		sig := unix.Signal(bits.TrailingZeros64(p.pending) + 1)
		p.pending &^= bit(sig)
		k.react(p, sig)
	}
	backlog := p.backlog
	p.backlog = nil
	for _, what := range backlog {
		k.after(time.Duration(k.random.IntN(50_000)+1), p, what)
	}
	if p.runs() {
		for _, child := range append([]*process(nil), p.children...) {
			if child.ended {
				k.ready(child)
			}
		}
	}
}

// react is what a process that runs does about a signal.
func (k *Kernel) react(p *process, sig unix.Signal) {
	switch {
	case bit(sig)&stopSignals != 0:
		if !p.script.NoJobs {
			k.stop(p, sig, false)
		}
		return
	case sig == unix.SIGCHLD || sig == unix.SIGURG || sig == unix.SIGWINCH || sig == unix.SIGCONT:
		return
	case sig != unix.SIGTERM && sig != unix.SIGINT && sig != unix.SIGQUIT && p.script.CatchesOthers:
		return
	}
	switch p.script.Stops {
	case Dies:
		code := reap.CodeKilled
		if sig == unix.SIGQUIT {
			code = reap.CodeDumped
		}
		k.end(p, code, int(sig))
	case Ignores:
	case Exits:
		k.after(p.script.StopsAfter+1, p, func() { k.end(p, reap.CodeExited, p.script.StopStatus) })
	case Forks:
		k.fork(p, "heir", k.child(p))
		k.after(p.script.StopsAfter+1, p, func() { k.end(p, reap.CodeExited, p.script.StopStatus) })
	case StopsItself:
		k.after(1, p, func() { k.stopAgain(p) })
	}
}

// stopAgain has a handler stop its process some times before it exits.
func (k *Kernel) stopAgain(p *process) {
	if p.again == 0 {
		k.end(p, reap.CodeExited, p.script.StopStatus)
		return
	}
	p.again--
	k.stop(p, unix.SIGTSTP, false)
	k.act(p, func() { k.stopAgain(p) })
}
