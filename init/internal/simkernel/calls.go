package simkernel

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/internal/effects"
	"github.com/finite-init/finite/init/internal/spawn"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

var _ effects.Kernel = (*Kernel)(nil)

// Processes are finite and finite.
func (k *Kernel) Processes() (root, self int) { return selfPID, selfPID }

// MaxPID is few.
func (k *Kernel) MaxPID() int { return maxPID }

// Reaper is this kernel.
func (k *Kernel) Reaper() reap.Kernel { return k }

// Terminal is none.
func (k *Kernel) Terminal() bool { return false }

// BecomeSubreaper has orphans come to finite.
func (k *Kernel) BecomeSubreaper() error {
	if k.Faults.NoSubreaper {
		return unix.EINVAL
	}
	k.self.inits = true
	return nil
}

// HaveDescriptors says whether there is room.
func (k *Kernel) HaveDescriptors(int) error {
	if k.Faults.NoFiles {
		return unix.EMFILE
	}
	return nil
}

// Start makes the command.
func (k *Kernel) Start(_ *spawn.Command, _, _ int) effects.Started {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Faults.StartErr != nil {
		k.delayStart(func() bool { return false })
		return effects.Started{Step: "exec", Err: k.Faults.StartErr}
	}
	p := k.make(k.self, k.freePID(0), "command", k.Command)
	p.member, p.leader, p.inLeaf = true, p, k.Leaf && !k.Faults.NoClone
	k.command = p
	k.trace("%v is made: %v", p, &p.script)
	k.delayStart(func() bool { return p.ended })
	if !p.ended {
		k.follow(p)
	}
	s := effects.Started{Pid: p.pid, Pidfd: -1, InCgroup: p.inLeaf}
	if !k.Faults.NoPidfd {
		s.Pidfd = k.open(&file{p, -1})
	}
	return s
}

// delayStart waits for as long as the start takes, or until it is over.
func (k *Kernel) delayStart(over func() bool) {
	if k.Faults.StartDelay == 0 {
		return
	}
	until := time.Now().Add(k.Faults.StartDelay)
	k.later(k.Faults.StartDelay, k.changed.Broadcast)
	for !k.closed && !over() && time.Now().Before(until) {
		k.changed.Wait()
	}
}

func (k *Kernel) open(f *file) int {
	k.fd++
	k.files[k.fd] = f
	return k.fd
}

// Open opens the list of finite's children, or of nobody's.
func (k *Kernel) Open(path string, _ int) (int, error) {
	k.call(readCall)
	k.mu.Lock()
	defer k.mu.Unlock()
	pid, name, _ := split(path)
	p := k.find(pid)
	switch {
	case k.Faults.NoFiles:
		return -1, unix.EMFILE
	case p == nil || k.Faults.NoChildren || !strings.HasSuffix(name, "/children"):
		return -1, unix.ENOENT
	}
	return k.open(&file{p, 0}), nil
}

// Read reads on in a list of children.
func (k *Kernel) Read(fd int, b []byte) (int, error) {
	k.call(childrenLatency)
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.files[fd]
	if f == nil {
		return 0, unix.EBADF
	}
	some := f.of.children[min(f.position, len(f.of.children)):]
	f.position += len(some)
	return len(appendChildren(b[:0], some)), nil
}

// Close closes a file.
func (k *Kernel) Close(fd int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.files[fd] == nil {
		k.violate("a file is closed that is not open: %d", fd)
	}
	delete(k.files, fd)
}

// Kill is kill(2).
func (k *Kernel) Kill(pid int, sig unix.Signal) error {
	k.call(shortCall)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case pid == -1:
		return k.killAll(sig)
	case pid < 0:
		return k.killGroup(sig, func(leader *process) bool { return leader.pid == -pid })
	}
	p := k.find(pid)
	if p == nil {
		return unix.ESRCH
	}
	return k.send(p, sig)
}

func (k *Kernel) killAll(sig unix.Signal) error {
	if k.Role != nsutil.RoleInit {
		k.violate("kill(-1) as a subreaper")
		return unix.EPERM
	}
	err := error(unix.ESRCH)
	for _, p := range k.pids {
		if p == nil || p == k.self {
			continue
		}
		if e := k.send(p, sig); e == nil || err == unix.ESRCH {
			err = e
		}
	}
	return err
}

func (k *Kernel) killGroup(sig unix.Signal, is func(leader *process) bool) error {
	err := error(unix.ESRCH)
	for _, p := range k.pids {
		if p != nil && is(p.leader) {
			if e := k.send(p, sig); e == nil || err == unix.ESRCH {
				err = e
			}
		}
	}
	return err
}

// Getpgid is getpgid(2).
func (k *Kernel) Getpgid(pid int) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p := k.find(pid); p != nil {
		return p.leader.pid, nil
	}
	return 0, unix.ESRCH
}

// IsChild asks waitid(2).
func (k *Kernel) IsChild(pid int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.find(pid)
	return p != nil && p.parent == k.self
}

// PidfdOpen is pidfd_open(2).
func (k *Kernel) PidfdOpen(pid int) (int, error) {
	k.call(shortCall)
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.find(pid)
	switch {
	case k.Faults.PidfdOpen != 0:
		return -1, k.Faults.PidfdOpen
	case k.Faults.NoFiles:
		return -1, unix.EMFILE
	case p == nil:
		return -1, unix.ESRCH
	}
	return k.open(&file{p, -1}), nil
}

// PidfdSendSignal is pidfd_send_signal(2).
func (k *Kernel) PidfdSendSignal(fd int, sig unix.Signal) error {
	k.call(shortCall)
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.files[fd]
	switch {
	case f == nil || f.position >= 0:
		return unix.EBADF
	case k.Faults.PidfdSend != 0:
		return k.Faults.PidfdSend
	case f.of.gone:
		return unix.ESRCH
	}
	return k.send(f.of, sig)
}

// Send is that of package signals.
func (k *Kernel) Send(fd int, sig signals.Signal, group bool) error {
	if !group {
		return k.PidfdSendSignal(fd, sig.Number)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.files[fd]
	switch {
	case f == nil:
		return unix.EBADF
	case k.Faults.PidfdSend != 0:
		return k.Faults.PidfdSend
	case k.Faults.NoGroupSend:
		return unix.EINVAL
	}
	return k.killGroup(sig.Number, func(leader *process) bool { return leader == f.of })
}

// SendPID is that of package signals.
func (k *Kernel) SendPID(pid int, sig signals.Signal) error { return k.Kill(pid, sig.Number) }

// Readable is poll(2) of a pidfd.
func (k *Kernel) Readable(fd int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.files[fd]
	return f != nil && f.of.ended
}

// watch is a pidfd that is waited for.
type watch struct {
	k      *Kernel
	of     *process
	closed bool
}

// Watch waits for a pidfd.
func (k *Kernel) Watch(fd int) (effects.Watched, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := k.files[fd]
	if f == nil || k.Faults.NoFiles {
		return nil, unix.EBADF
	}
	return &watch{k: k, of: f.of}, nil
}

// Wait returns when the process has ended.
func (w *watch) Wait() error {
	w.k.mu.Lock()
	defer w.k.mu.Unlock()
	for !w.of.ended && !w.closed {
		w.k.changed.Wait()
	}
	if w.closed {
		return unix.EBADF
	}
	return nil
}

// Close ends the wait.
func (w *watch) Close() {
	w.k.mu.Lock()
	defer w.k.mu.Unlock()
	w.closed = true
	w.k.changed.Broadcast()
}

// oomCounter counts.
type oomCounter struct{ k *Kernel }

// OOM counts what the kernel has ended for want of memory.
func (k *Kernel) OOM() (effects.OOMCounter, int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return oomCounter{k}, k.ooms
}

func (c oomCounter) Count() (int, error) {
	c.k.mu.Lock()
	defer c.k.mu.Unlock()
	return c.k.ooms, nil
}

func (oomCounter) Close() {}
