package simkernel

import (
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/reap"
)

// Lock pins the children's numbers ([reap.Kernel]).
func (k *Kernel) Lock() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.pinned && !k.closed {
		k.unpinned.Wait()
	}
	k.pinned = true
}

// Unlock ends what Lock began.
func (k *Kernel) Unlock() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pinned = false
	k.unpinned.Signal()
}

// Wait is waitid(2).
func (k *Kernel) Wait(idType, id, options int) (reap.Change, bool, error) {
	k.call(max(waitCall, k.Faults.SlowWait))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Faults.WaitErrors > 0 && idType == unix.P_ALL && options&unix.WNOHANG == 0 {
		k.Faults.WaitErrors--
		return reap.Change{}, false, unix.ENOMEM
	}
	for {
		found := false
		for _, p := range k.self.children {
			if idType == unix.P_PID && p.pid != id {
				continue
			}
			found = true
			if c, ok := k.changeOf(p, options); ok {
				return c, true, nil
			}
		}
		switch {
		case !found || k.closed:
			return reap.Change{}, false, unix.ECHILD
		case options&unix.WNOHANG != 0:
			return reap.Change{}, false, nil
		}
		k.changed.Wait()
	}
}

// changeOf returns what there is to tell of a child, and takes it unless it is only looked at.
func (k *Kernel) changeOf(p *process, options int) (c reap.Change, ok bool) {
	take := options&unix.WNOWAIT == 0
	switch {
	case p.ended && !p.held && options&unix.WEXITED != 0:
		if take {
			k.trace("finite reaps %v", p)
			k.free(p)
		}
		return p.change, true
	case p.note == reap.CodeStopped && options&unix.WSTOPPED != 0,
		p.note == reap.CodeContinued && options&unix.WCONTINUED != 0:
		c = reap.Change{PID: p.pid, Code: p.note, Status: int(p.noteSig)}
		if take {
			p.note = 0
		}
		return c, true
	}
	return c, false
}
