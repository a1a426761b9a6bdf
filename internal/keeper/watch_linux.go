//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// watchExecution makes a pipe. The child has an end of it until it executes the command, or ends.
// watchExecution returns a negative errno if it fails. Where there are too few descriptors, it
// closes procFD.
//
//go:nosplit
func watchExecution() int {
	command.watch = [2]int32{-1, -1}
	r := sys2(unix.SYS_PIPE2, addr(&command.watch), unix.O_CLOEXEC|unix.O_NONBLOCK)
	if r < 0 && procFD >= 0 {
		closeFD(procFD)
		procFD = -1
		r = sys2(unix.SYS_PIPE2, addr(&command.watch), unix.O_CLOEXEC|unix.O_NONBLOCK)
	}
	if r < 0 {
		return r
	}
	command.watch[0], command.watch[1] = high(int(command.watch[0])), high(int(command.watch[1]))
	return int(min(command.watch[0], command.watch[1], 0))
}

// delayWatch puts off hearChild where the end of the command may be quiet. So the end of a short
// command is known first, and a supervisor wakes up for neither.
//
//go:nosplit
func delayWatch() {
	if due.watch = 0; supervisor.quiet {
		due.watch = facts.Started + millisecond
	}
}

// hearChild takes what the child writes to the pipe: that it runs, where it is to be in a cgroup,
// and why it could not execute the command. A closed pipe says that the command was executed. Of a
// child that was killed before it ran, commandNotStarted tells.
//
//go:nosplit
func hearChild() {
	const size = unsafe.Sizeof(command.failure)
	var n int
	for {
		n = sys3(unix.SYS_READ, uintptr(command.watch[0]), addr(&command.failure), size)
		if n == errAgain {
			return // the child has not written yet
		}
		if n != int(size) || command.failure[0] != 0 {
			break
		}
		command.ran = true
	}
	endWatch()
	switch {
	case n == int(size):
		facts.StartError, command.why = command.failure[0], command.failure[1]
	case facts.Cgroup < 0 || command.ran:
		noteStarted()
	}
}

// endWatch closes the pipe.
//
//go:nosplit
func endWatch() {
	closeFD(command.watch[0])
	command.watch[0] = -1
}

// noteStarted notes that the command runs. catchUp tells a supervisor.
//
//go:nosplit
func noteStarted() {
	if facts.Plain || command.told || facts.Command == 0 {
		return
	}
	endWatch()
	command.told, command.settled = true, true
}

// commandNotStarted deals with the end of a child that has not become the command, for a
// supervisor. It returns false where the child has become the command.
//
// A child that was killed when it was cloned into its cgroup counts as not started, and a
// supervisor starts it in another way. If cgroup.kill was ever written in this process's own
// cgroup, Linux (6.18 for one) kills every process that is cloned from there into another cgroup.
//
//go:nosplit
func commandNotStarted() bool {
	if command.watch[0] >= 0 {
		hearChild()
	}
	if !command.ran && facts.Cgroup >= 0 {
		facts.StartError, command.why = int32(unix.ESRCH), NotInCgroup
	}
	if facts.StartError == 0 {
		return false
	}
	endWatch()
	packet.message = Message{}
	packet.message.Value, packet.message.Count = facts.StartError, command.why
	closeFD(facts.Pidfd)
	facts.Command, facts.Pidfd, facts.StartError, facts.Started = 0, -1, 0, 0
	if supervisor.pid != 0 && supervisor.knows.started {
		kill(supervisor.pid, int32(unix.SIGKILL)) // it was told that the command runs; the next one starts it
		return true
	}
	tellSupervisor(KindNotStarted)
	return true
}
