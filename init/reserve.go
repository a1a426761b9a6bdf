package pid1

import "github.com/finite-init/finite/init/internal/effects"

// LifelineParent in a [Config]'s Lifeline stands for the parent process. Linux 5.3.
const LifelineParent = effects.LifelineParent

// Reserve begins to make the threads that the end of a command needs, GOMAXPROCS (at most two) and
// four more, and does not wait for them; [Run] does, before it starts the command. A program that
// calls it first thing has less to wait for then. GOMAXPROCS must not be raised after it.
func Reserve() { effects.Reserve() }

// Reserved returns when the threads that [Reserve] has begun to make can be used, for a caller that
// does not [Run] anything.
func Reserved() { effects.Reserved() }
