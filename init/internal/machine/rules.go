package machine

import (
	"github.com/finite-init/finite/signals"
)

// Rules are the signals that are passed on without asking the machine.
type Rules struct {
	Set       signals.Set // as they are
	Rewritten signals.Set // as the policy has it
	Told      bool        // the owner wants to hear of each
}
