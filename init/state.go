package pid1

// state is where a run stands.
type state uint8

const (
	stateStarting  state = iota // the command is being started, or is about to be
	stateRunning                // it runs, and nobody wants it to end
	stateStopping               // it runs, and its end was asked for
	stateLeftovers              // it is gone; others may be left
	stateKilling                // SIGKILL was sent to the whole tree
	stateSurvey                 // it is given up; who is left is being described
	stateEnded                  // nothing more will happen
)

var stateNames = [...]string{"starting", "running", "stopping", "leftovers", "killing", "survey", "ended"}

func (s state) String() string { return stateNames[s] }
