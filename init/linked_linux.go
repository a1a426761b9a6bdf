//go:build amd64 || arm64

package pid1

import (
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// linked is the [kernel] of a supervisor: the keeper clones, waits and ends, and tells of it. What needs no parent, such as
// the kill of the tree, is done here. Its methods are the owner's, except where they say otherwise.
type linked struct {
	link  *keeper.Link
	post  func(event)
	done  <-chan struct{}
	trees treeWorker
	pin   remotePin
	held  heldWatch
	role  nsutil.Role
	proc  *nsutil.Proc

	pid, pidfd int // the command; 0 once it is reaped
}

func (k *linked) init(cfg *Config, role nsutil.Role, done <-chan struct{}) {
	k.role, k.done, k.pidfd, k.proc = role, done, -1, nsutil.NewProc()
	k.held.post, k.held.spare = k.post, cfg.descriptors()
	k.pin = remotePin{link: k.link, held: make(chan struct{}, 1), over: done}
	k.trees = treeWorker{role: role, pin: &k.pin, post: k.post, stopKill: make(chan struct{})}
}

// listen passes on what the keeper says. It is called once, in a goroutine of its own.
func (k *linked) listen(arrived chan<- signals.Signal) {
	for {
		m, err := k.link.Hear()
		if err != nil {
			k.post(event{kind: evCancel, err: errKeeperGone})
			return
		}
		switch m.Kind {
		case keeper.KindAsk:
			_ = k.link.Tell(keeper.Message{Kind: keeper.KindAlive})
		case keeper.KindSignalled:
			s := m.Signal
			sig := signals.Arrived(s.Number, s.Code, s.PID, s.UID, s.Value)
			sig.Passed = m.Value != 0
			select {
			case arrived <- sig:
			case <-k.done:
			}
		case keeper.KindExited:
			k.post(event{kind: evExited, change: change(m.Change)})
		case keeper.KindChanged:
			k.post(event{kind: evStopped, change: change(m.Change)})
		case keeper.KindReaped:
			k.post(event{kind: evReaped, count: int(m.Count), killed: int(m.Killed)})
		case keeper.KindRemaining:
			k.post(event{kind: evRemaining})
		case keeper.KindEmpty:
			k.post(event{kind: evEmpty})
		case keeper.KindFrontGone:
			k.post(event{kind: evFrontGone})
		case keeper.KindHeld:
			k.pin.answered()
		}
	}
}

var errKeeperGone = errors.New("the keeper is gone")

func (k *linked) start() {}

func (k *linked) alarm(d time.Duration, fire func()) clock { return newTimeout(d, fire) }

func (k *linked) adopt(pid, pidfd int, _ bool) {
	k.pid, k.pidfd = pid, pidfd
	if k.link.Facts.Ended.Code == 0 {
		k.held.watch(pid, pidfd)
	}
}

func (k *linked) watchParent(unix.Signal) (bool, error) { return false, nil }

func (k *linked) signal(target Forward, sig signals.Signal) error {
	if target == ForwardAll {
		return k.trees.signal(sig.Number)
	}
	if k.pidfd < 0 {
		return signals.SendPID(k.pid, sig)
	}
	return signals.Send(k.pidfd, sig, target == ForwardGroup && k.link.Facts.Group)
}

func (k *linked) identify(pid int) string {
	if pid <= 0 || !k.proc.Mounted() {
		return ""
	}
	comm, _ := k.proc.Comm(pid)
	return comm
}

func (k *linked) gone() bool { return k.pidfd >= 0 && sys.Readable(k.pidfd) }

func (k *linked) terminate(sig unix.Signal) {
	_ = k.link.Tell(keeper.Message{Kind: keeper.KindLeftovers}) // before it is done
	if !k.byHeart(sig, unix.SIGCONT) {
		_ = k.trees.signal(sig, unix.SIGCONT)
	}
}

func (k *linked) killTree() {
	if k.byHeart(unix.SIGKILL) {
		return
	}
	k.trees.kill()
}

// byHeart leaves signals to the keeper where a subreaper has no /proc to find its descendants in.
func (k *linked) byHeart(sigs ...unix.Signal) bool {
	if k.role == nsutil.RoleInit || k.proc.Mounted() {
		return false
	}
	for _, sig := range sigs {
		_ = k.link.Tell(keeper.Message{Kind: keeper.KindByHeart, Value: int32(sig)})
	}
	return true
}

func (k *linked) empty() bool { return k.role != nsutil.RoleInit || nsutil.NamespaceEmpty() }

func (k *linked) oomKills() int { return 0 }

func (k *linked) look() { _ = k.link.Tell(keeper.Message{Kind: keeper.KindLook}) }

func (k *linked) suspend() {} // the keeper and the front have seen to it

func (k *linked) foreground() {}

func (k *linked) thaw() {}

func (k *linked) dump() {
	go func() {
		s, err := nsutil.TakeSnapshot(k.role, nil, dumpLimit)
		k.post(event{kind: evDumped, snapshot: s, err: err})
	}()
}

func (k *linked) survey() { k.trees.survey() }

func (k *linked) without() (missing []string) {
	if k.link.Facts.NoSubreaper {
		missing = append(missing, "subreaper")
	}
	if k.link.Facts.Pidfd < 0 {
		missing = append(missing, "pidfd")
	}
	return missing
}

func (k *linked) close(bool) error {
	k.trees.close()
	k.held.close()
	return nil
}

// remotePin is the reaper of the keeper's children, as far as a tree needs it: while it is locked, the keeper reaps
// nobody. The keeper bounds that by a second.
type remotePin struct {
	mu   sync.Mutex
	link *keeper.Link
	held chan struct{}
	over <-chan struct{}
}

// pinLimit is how long the keeper may take to answer. Without an answer its children are signalled all the same: it reaps
// late, and seldom who is signalled just then.
const pinLimit = 200 * time.Millisecond

func (p *remotePin) Lock() {
	p.mu.Lock()
	select {
	case <-p.held: // of a lock that had not been waited for
	default:
	}
	if p.link.Tell(keeper.Message{Kind: keeper.KindHold}) != nil {
		return
	}
	limit := time.NewTimer(pinLimit)
	defer limit.Stop()
	select {
	case <-p.held:
	case <-p.over:
	case <-limit.C:
	}
}

func (p *remotePin) Unlock() {
	_ = p.link.Tell(keeper.Message{Kind: keeper.KindRelease})
	p.mu.Unlock()
}

// Drained is true: the keeper reaps all who have ended before it lets itself be locked.
func (p *remotePin) Drained() bool { return true }

func (p *remotePin) answered() {
	select {
	case p.held <- struct{}{}:
	default:
	}
}
