package ending

// State is where a run stands.
type State uint8

// The states.
const (
	StateStarting  State = iota // the command is being started, or is about to be
	StateRunning                // it runs, and its end was not asked for
	StateStopping               // it runs, and its end was asked for
	StateLeftovers              // it is gone; others may be left
	StateKilling                // SIGKILL was sent to the whole tree
	StateSurvey                 // it is given up; the processes that are left are being described
	StateEnded                  // nothing more will happen
)

var stateNames = [...]string{"starting", "running", "stopping", "leftovers", "killing", "survey", "ended"}

func (s State) String() string { return stateNames[s] }
