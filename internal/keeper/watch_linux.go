//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// watchExecution makes a pipe of which the child has an end until it executes the command, or ends.
// It returns a negative errno if it fails. Where there are too few descriptors, /proc can be done
// without.
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

// delayWatch puts off the word that the command was executed, where its end may be quiet: the end
// of a short one comes first then, and a supervisor need not wake up for either.
//
//go:nosplit
func delayWatch() {
	if due.watch = 0; supervisor.quiet {
		due.watch = facts.Started + millisecond
	}
}

// hearChild takes what the child says by the pipe: that it runs, where it is to be in a cgroup; why
// it could not execute the command, or by closing it that it did. Where it was killed before it
// ran, its end tells.
//
//go:nosplit
func hearChild() {
	var n int
	for {
		n = sys3(unix.SYS_READ, uintptr(command.watch[0]), addr(&command.failure), unsafe.Sizeof(command.failure))
		if n == errAgain {
			return // it is on its way
		}
		if n != int(unsafe.Sizeof(command.failure)) || command.failure[0] != 0 {
			break
		}
		command.ran = true
	}
	endWatch()
	switch {
	case n == int(unsafe.Sizeof(command.failure)):
		facts.StartError, command.why = command.failure[0], command.failure[1]
	case facts.Cgroup < 0 || command.ran:
		noteStarted()
	}
}

// endWatch closes the pipe that tells of the execution.
//
//go:nosplit
func endWatch() {
	closeFD(command.watch[0])
	command.watch[0] = -1
}

// noteStarted has a supervisor told that the command runs: see catchUp.
//
//go:nosplit
func noteStarted() {
	if facts.Plain || command.told || facts.Command == 0 {
		return
	}
	endWatch()
	command.told, command.settled = true, true
}

// commandNotStarted deals with a child that did not become the command, for a supervisor. A command
// that was killed when it was cloned into its cgroup is started there in another way: if
// cgroup.kill was ever written in this process's own cgroup, Linux (6.18 for one) kills whoever is
// cloned from there into another.
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
		kill(supervisor.pid, int32(unix.SIGKILL)) // it goes on with a command that runs: the next one starts it
		return true
	}
	tellSupervisor(KindNotStarted)
	return true
}
