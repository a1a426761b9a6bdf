package simkernel

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/effects"
)

// leaf is the command's cgroup.
type leaf Kernel

// CommandLeaf is the command's cgroup, or nil.
func (k *Kernel) CommandLeaf() effects.Leaf {
	if !k.Leaf {
		return nil
	}
	return (*leaf)(k)
}

// within lists who is in the cgroup. A zombie is not.
func (k *Kernel) within() (all []*process) {
	for _, p := range k.pids {
		if p != nil && p.inLeaf && !p.ended {
			all = append(all, p)
		}
	}
	return all
}

// Kill is cgroup.kill.
func (l *leaf) Kill() error {
	k := (*Kernel)(l)
	k.call(readCall)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Faults.LeafKill != 0 {
		return k.Faults.LeafKill
	}
	for _, p := range k.within() {
		foreign := p.foreign
		p.foreign = false // cgroup.kill asks for no permission
		_ = k.send(p, unix.SIGKILL)
		p.foreign = foreign
	}
	return nil
}

// WaitEmpty waits until nobody is in it.
func (l *leaf) WaitEmpty(limit time.Duration) bool {
	k := (*Kernel)(l)
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		k.mu.Lock()
		empty := len(k.within()) == 0
		k.mu.Unlock()
		if empty || time.Since(begin) >= limit {
			return empty
		}
	}
}

// PIDs lists who is in it.
func (l *leaf) PIDs(pids []int) ([]int, error) {
	k := (*Kernel)(l)
	k.call(readCall)
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.within() {
		pids = append(pids, p.pid)
	}
	return pids, nil
}

// Populated reports whether anybody is in it.
func (l *leaf) Populated() (bool, error) {
	k := (*Kernel)(l)
	k.mu.Lock()
	is := len(k.within()) > 0
	k.mu.Unlock()
	if is { // who asks again and again lets time pass
		k.call(10 * readCall)
	}
	return is, nil
}

// Thaw is cgroup.freeze.
func (l *leaf) Thaw() {
	k := (*Kernel)(l)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.frozen {
		return
	}
	k.trace("finite thaws the cgroup")
	k.frozen = false
	for _, p := range k.within() {
		if p.runs() {
			k.resume(p)
		}
	}
}

var errBusy = errors.New("cannot remove the cgroup")

// Remove removes it.
func (l *leaf) Remove(limit time.Duration) error {
	if l.WaitEmpty(limit) {
		return nil
	}
	return errBusy
}
