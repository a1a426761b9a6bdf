//go:build amd64 || arm64

package effects

import (
	"sync"
	"time"

	"github.com/finite-init/finite/internal/keeper"
)

// remotePin is the reaper of the keeper's children, as far as a tree needs it: while it is locked,
// the keeper reaps no child. The keeper bounds that by a second.
type remotePin struct {
	mu   sync.Mutex
	link *keeper.Link
	held chan struct{}
	over <-chan struct{}
}

// pinLimit is how long the keeper may take to answer. Without an answer its children are signalled
// all the same: the PID that is signalled is seldom freed at that moment.
const pinLimit = 200 * time.Millisecond

func (p *remotePin) Lock() {
	p.mu.Lock()
	select {
	case <-p.held: // of a lock that had not been waited for
	default:
	}
	if p.link.Tell(keeper.Message{Kind: keeper.KindHold}, -1) != nil {
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
	_ = p.link.Tell(keeper.Message{Kind: keeper.KindRelease}, -1)
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
