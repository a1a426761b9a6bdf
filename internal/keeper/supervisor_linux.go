//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// supervisor is the Go process that decides. In a front it is the planner.
var supervisor struct {
	pid    int32 // 0: there is no supervisor
	socket int32 // this process's end of the pair that it shares with the supervisor; -1: none
	since  int64 // when the supervisor was started
	quiet  bool  // it has nothing to say about a quiet end

	spoke  bool  // it has sent KindHello
	asked  bool  // it was sent KindAsk, and has sent nothing since
	silent int32 // how many pauses it has been silent for: see silencePause

	remain bool     // it was told that children are left
	empty  bool     // it was told that no child is left
	knows  struct { // from its fork, or by a message
		started   bool // the command was started
		ended     bool // the command has ended
		frontGone bool // the front has died
	}

	verdict bool  // it has said how the run ends
	status  int32 // the exit status by its verdict
	left    bool  // a process is left by its verdict

	failures int32 // how many supervisors have failed in a row
}

// A supervisor has 2 s for its first message, and for an answer. The keeper counts them in pauses
// of its own, which do not pass while a container is frozen.
const (
	silencePause = 100 * millisecond
	mostSilence  = 20     // pauses until a supervisor is killed
	deathPauses  = 2      // pauses that SIGKILL may take: a file system that does not answer delays it
	askPause     = second // until a supervisor is asked whether it lives
	mostFailures = 3
	longLife     = 10 * second // a supervisor that lived longer ends a row of failures
)

// attachment is what a fork finds that goes on to the Go runtime.
type attachment struct {
	socket  int32 // the fork's end of the pair; 0: this process is no such fork
	stderr  int32 // a copy of descriptor 2, which is silenced
	planner bool  // the fork is a planner
}

// startSupervisor forks a supervisor. It returns true in the supervisor. After mostFailures the
// keeper goes on by heart.
//
//go:nosplit
func startSupervisor() bool {
	if supervisor.failures >= mostFailures {
		goByHeart()
		return false
	}
	if facts.Front == 0 && facts.Ended.Code != 0 {
		dropAtEnd() // so that a reader that is left sees the end of its input
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
	supervisor.remain, supervisor.empty, supervisor.quiet = false, false, false
	supervisor.verdict, supervisor.left = false, false
	supervisor.knows.started = facts.Command != 0
	supervisor.knows.ended, supervisor.knows.frontGone = facts.Ended.Code != 0, facts.FrontGone
	due.supervisor = now() + silencePause
	return false
}

// forkUnseen makes a process without an exit signal, which a plain waitid(2) does not see. Where
// the kernel refuses that, the process is an ordinary child.
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

// becomeSupervisor prepares a fork for the Go runtime. Its standard error is silenced until main,
// so that a runtime that cannot start says nothing.
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
	if facts.Directory >= 0 {
		sys1(unix.SYS_FCHDIR, uintptr(facts.Directory))
		closeFD(facts.Directory)
	}
	sys2(unix.SYS_PRCTL, unix.PR_SET_NAME, text("supervisor\x00"))
	attached.stderr = int32(sys3(unix.SYS_FCNTL, 2, unix.F_DUPFD_CLOEXEC, 3))
	silence()
}

// supervisorEnded deals with the end of a supervisor. Its last messages may still be in the socket:
// a verdict, or what it was about to do.
//
//go:nosplit
func supervisorEnded() {
	for {
		ok, _ := receive(supervisor.socket)
		if !ok {
			break
		}
		closeFD(packet.passed.fd)
		noteMessage()
		if packet.message.Kind == KindEnd {
			supervisor.verdict = true
			supervisor.status, supervisor.left = packet.message.Value, packet.message.Count != 0
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

// forgetSupervisor is called when a supervisor has ended, or was killed.
//
//go:nosplit
func forgetSupervisor() {
	closeFD(supervisor.socket)
	supervisor.pid, supervisor.socket, supervisor.spoke = 0, -1, false
	due.supervisor = 0
}

// leavesSupervisor reports whether a supervisor that is killed may be left to the front, which
// becomes its parent when the keeper ends. The front must be able to reap it. The supervisor must
// have had nothing to decide, since no process reads its last messages.
//
//go:nosplit
func leavesSupervisor() bool {
	return supervisor.pid != 0 && facts.Front != 0 && !facts.Planned && !facts.Ordinary &&
		(facts.Timeout == 0 || facts.Timeout > 2*QuietTime)
}

// leaveSupervisor kills a supervisor, and leaves it to the front to reap.
//
//go:nosplit
func leaveSupervisor() {
	ending.orphan = supervisor.pid
	kill(supervisor.pid, int32(unix.SIGKILL))
	forgetSupervisor()
}

// killSupervisor kills and reaps a supervisor that is not needed any more, and takes its last
// messages. One that SIGKILL does not end within a second is left behind.
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
	awaitPoll(1, addr(&poll.limit)) // the socket hangs up shortly before waitid(2) returns it
	soon := now() + millisecond/10
	const ended = unix.WEXITED | unix.WNOHANG | unix.WALL
	// The last look comes after the last time: this process may have been stopped in between.
	for t := int64(0); wait(unix.P_PID, uintptr(supervisor.pid), ended) == 0 && t < until; {
		if t = now(); t < soon { // the shortest sleep is longer than that
			sys0(unix.SYS_SCHED_YIELD)
		} else {
			pause(millisecond / 10)
		}
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
