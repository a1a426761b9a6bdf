//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// supervisor is the Go process that decides, while there is one.
var supervisor struct {
	pid      int32
	socket   int32 // the keeper's end
	spoke    bool  // it runs
	asked    bool  // and owes an answer
	silent   int32 // how many pauses it has been silent for
	since    int64 // when it was started
	remain   bool  // it was told that others are left
	empty    bool  // it was told that nobody is
	verdict  bool  // it has said how the run ends
	status   int32
	left     bool // and that somebody is left
	quiet    bool // it has nothing to say about a quiet end
	failures int32
	knows    struct{ started, ended, frontGone bool } // from its fork, or by a message that was sent
}

// A supervisor has 2 s to speak, and to answer. They are counted in pauses of the keeper's own: in
// a container that was frozen meanwhile, they have not passed.
const (
	silencePause = 100 * millisecond
	mostSilence  = 20
	deathPauses  = 2 // that SIGKILL may take then: a file system that does not answer keeps who waits for it
	askPause     = second
	mostFailures = 3
	longLife     = 10 * second // a supervisor that lived so long has made progress
)

// attachment is what a supervisor finds.
type attachment struct {
	socket  int32 // 0: this process is none
	stderr  int32 // where descriptor 2 is meanwhile
	planner bool  // it is a planner
}

// startSupervisor forks a supervisor. It returns true in that.
//
//go:nosplit
func startSupervisor() bool {
	if supervisor.failures >= mostFailures {
		goByHeart()
		return false
	}
	if facts.Front == 0 && facts.Ended.Code != 0 {
		dropAtEnd() // a reader that is left sees the end of its input
	}
	r := makePair()
	if r >= 0 {
		facts.Starts++
		if r = forkUnseen(); r == 0 {
			becomeSupervisor()
			return true
		}
		closeFD(newPair[1])
	}
	if r < 0 {
		closeFD(newPair[0])
		heart.errno = r
		goByHeart()
		return false
	}
	supervisor.pid, supervisor.socket, supervisor.since = int32(r), newPair[0], now()
	supervisor.spoke, supervisor.asked, supervisor.silent = false, false, 0
	supervisor.remain, supervisor.empty, supervisor.verdict, supervisor.left, supervisor.quiet = false, false, false, false, false
	supervisor.knows.started = facts.Command != 0
	supervisor.knows.ended, supervisor.knows.frontGone = facts.Ended.Code != 0, facts.FrontGone
	due.supervisor = now() + silencePause
	return false
}

// forkUnseen makes a process that a plain wait does not see, where that is not refused.
//
//go:nosplit
func forkUnseen() int {
	facts.Ordinary = false
	r := fork(0)
	if isRefused(r) {
		facts.Ordinary = true
		r = fork(uintptr(unix.SIGCHLD))
	}
	return r
}

// becomeSupervisor prepares a fork for the Go runtime. Its standard error is elsewhere until main:
// a runtime that cannot start says nothing of its own.
//
//go:nosplit
func becomeSupervisor() {
	attached.socket = newPair[1]
	protect()
	closeFD(newPair[0])
	closeFD(childFD)
	closeFD(signalFD)
	closeFD(toFront)
	closeFD(wakeFD)
	closeFD(procFD)
	if facts.Directory >= 0 {
		sys1(unix.SYS_FCHDIR, uintptr(facts.Directory))
		closeFD(facts.Directory)
	}
	sys2(unix.SYS_PRCTL, unix.PR_SET_NAME, text("supervisor\x00"))
	attached.stderr = int32(sys3(unix.SYS_FCNTL, 2, unix.F_DUPFD_CLOEXEC, 3))
	silence()
}

// supervisorEnded is a supervisor's end, whatever it has said.
//
//go:nosplit
func supervisorEnded() {
	for { // its last words
		ok, _ := receive(supervisor.socket)
		if !ok {
			break
		}
		if packet.message.Kind == KindEnd {
			supervisor.verdict, supervisor.status, supervisor.left = true, packet.message.Value, packet.message.Count != 0
		}
	}
	forgetSupervisor()
	hold.until, hold.wanted = 0, false
	if !supervisor.verdict {
		if now()-supervisor.since > longLife {
			supervisor.failures = 0
		}
		supervisor.failures++
	}
}

// forgetSupervisor is for one that has ended, or was killed.
//
//go:nosplit
func forgetSupervisor() {
	closeFD(supervisor.socket)
	supervisor.pid, supervisor.socket, supervisor.spoke = 0, -1, false
	due.supervisor = 0
}

// leavesSupervisor reports whether a supervisor may be left to the front, which is its parent when
// the keeper has ended: where it is the front's to wait for, and where it has had nothing to
// decide, so that nobody has to hear its last words.
//
//go:nosplit
func leavesSupervisor() bool {
	return supervisor.pid != 0 && facts.Front != 0 && !facts.Planned && !facts.Ordinary &&
		(facts.Timeout == 0 || facts.Timeout > 2*QuietTime)
}

// leaveSupervisor kills a supervisor, and leaves it to the front.
//
//go:nosplit
func leaveSupervisor() {
	ending.orphan = supervisor.pid
	kill(supervisor.pid, int32(unix.SIGKILL))
	forgetSupervisor()
}

// killSupervisor ends a supervisor that is not needed any more. One that cannot be killed at once
// is left to itself.
//
//go:nosplit
func killSupervisor() {
	if supervisor.pid == 0 {
		return
	}
	until := now() + second
	kill(supervisor.pid, int32(unix.SIGKILL))
	poll.fds[0] = unix.PollFd{Fd: supervisor.socket}
	poll.limit = [2]int64{1, 0}
	awaitPoll(1, addr(&poll.limit)) // it hangs up shortly before it can be waited for
	for soon := now() + millisecond/10; ; {
		if wait(unix.P_PID, uintptr(supervisor.pid), unix.WEXITED|unix.WNOHANG|unix.WALL) != 0 {
			break
		}
		t := now()
		if t >= until {
			break
		}
		if t < soon { // which is less than the shortest sleep
			sys0(unix.SYS_SCHED_YIELD)
			continue
		}
		pause(millisecond / 10)
	}
	for {
		ok, _ := receive(supervisor.socket)
		if !ok {
			break
		}
		noteMessage()
	}
	forgetSupervisor()
}
