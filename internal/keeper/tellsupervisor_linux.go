//go:build amd64 || arm64

package keeper

// tellSupervisor sends packet.message to a supervisor that runs. It returns false where the message
// was not sent. A supervisor that does not read delays nothing, and loses nothing: a later one is a
// fork with all facts.
//
//go:nosplit
func tellSupervisor(kind Kind) bool {
	if !supervisor.spoke {
		return false
	}
	due.supervisor = earlier(due.supervisor, now()+askPause) // a sign of life is due then
	return send(supervisor.socket, kind, -1)
}

// catchUp tells a supervisor what has happened since it was forked, in order. What the socket has
// no room for is told in the next turn of the loop.
//
//go:nosplit
func catchUp() {
	if !supervisor.spoke || endedQuietly() {
		return
	}
	if command.told && !supervisor.knows.started {
		packet.message = Message{}
		packet.message.Value = facts.Command
		if facts.Cgroup >= 0 {
			packet.message.Count = StartedInCgroup
		}
		if !facts.Group {
			packet.message.Count |= StartedInGroup
		}
		supervisor.knows.started = send(supervisor.socket, KindStarted, facts.Pidfd) ||
			send(supervisor.socket, KindStarted, -1)
		if !supervisor.knows.started {
			return
		}
	}
	if facts.Ended.Code != 0 && !supervisor.knows.ended {
		packet.message = Message{}
		packet.message.Change, packet.message.Signal.Name = facts.Ended, lastEnd.name
		packet.message.Times[0] = lastEnd.born
		supervisor.knows.ended = tellSupervisor(KindExited)
	}
	if facts.FrontGone && !supervisor.knows.frontGone {
		packet.message = Message{}
		supervisor.knows.frontGone = tellSupervisor(KindFrontGone)
	}
}

// tellWhatIsLeft tells a supervisor once that children are left after the command, and once that
// none is.
//
//go:nosplit
func tellWhatIsLeft() {
	catchUp()
	if !supervisor.spoke || !supervisor.knows.ended && !facts.Paused {
		return
	}
	packet.message = Message{}
	if tree.others && !supervisor.remain {
		supervisor.remain = tellSupervisor(KindRemaining)
		if facts.Front == 0 {
			dropAtEnd() // so that a reader that is left sees the end of its input
		}
	}
	if tree.empty && !supervisor.empty {
		supervisor.empty = tellSupervisor(KindEmpty)
	}
	if tree.others {
		supervisor.empty = false
	}
}

// tellChild tells a supervisor of a child that has ended, before the child is reaped. Of the
// command's end catchUp tells.
//
//go:nosplit
func tellChild(pid int32) {
	if pid == supervisor.pid || isBusyHelper(pid) {
		return
	}
	childMessage = Message{}
	childMessage.Change = lastChange()
	if isOwnProc() {
		nameProcess(&childMessage.Signal, pid)
		childMessage.Times[0] = startOf(pid)
	}
	if pid == facts.Command {
		lastEnd.name, lastEnd.born = childMessage.Signal.Name, childMessage.Times[0]
		return
	}
	packet.message = childMessage
	tellSupervisor(KindChild)
}

// childMessage is the message of tellChild.
var childMessage Message
