//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// hearsFront reports whether the keeper can act on messages of the front: a signal that a
// supervisor decides about waits for a supervisor.
//
//go:nosplit
func hearsFront() bool { return facts.Plain || supervisor.spoke || heart.since != 0 || heart.calm }

// hearFront takes the messages of the front.
//
//go:nosplit
func hearFront() {
	if toFront < 0 || !hearsFront() {
		return
	}
	for range messagesAtOnce {
		ok, gone := receive(toFront)
		if gone {
			frontGone()
			return
		}
		if !ok {
			return
		}
		m := &packet.message
		switch m.Kind {
		case kindRunning:
			stops.again = 0
		case kindHeard:
			stops.check = m.Count == stops.number
		case kindSignal:
			fromFront = m.Signal
			how, heard := m.Value, m.Count
			if fromFront.Number == int32(unix.SIGCONT) && isContinued(heard) {
				continue
			}
			noteSignal(&fromFront, how != keptByTerminal)
			passed := how == passedByFront
			if how == leftToKeeper {
				passed = passByRule(&fromFront)
			}
			if how != keptByTerminal {
				signalPassed(&fromFront, passed)
			}
		}
	}
}

// fromFront is the signal that the front has told of last.
var fromFront Signal

// frontGone ends the tree after the death of the front: no process waits for the run any more.
//
//go:nosplit
func frontGone() {
	closeFD(toFront)
	toFront, stops.again = -1, 0
	facts.FrontGone = true
	if facts.Command == 0 {
		end(statusFailure)
		return
	}
	killNow()
	signalEverything(int32(unix.SIGKILL)) // which ends most trees
	due.settle = now() + dyingTime
	catchUp()
}
