//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	commandStackSize = 8192
	pathSize         = 4096 // PATH_MAX, with the zero byte at the end
)

// command is how the command is started. Its memory is shared with the child that becomes the
// command.
var command struct {
	path  [pathSize + 16]byte    // of the file that is executed; 16 more keep the stack aligned
	stack [commandStackSize]byte // of the child; its end shares a page with what follows
	group bool                   // the command is to lead a process group of its own
	quiet bool                   // a supervisor says what fails
	tty   int32                  // the terminal that the command gets the foreground of; -1: none
	pid   int32                  // the command's PID as the child sees it

	onTerminal bool // there is a controlling terminal

	wanted  bool // a supervisor has asked for the command
	grouped bool // and for a process group of its own
	settled bool // the command runs: settleDown is due

	moves   bool       // the child moves itself into its cgroup
	ran     bool       // the child has run
	told    bool       // the command was executed: catchUp tells a supervisor
	why     int32      // why the command was not executed: see NotExecuted
	watch   [2]int32   // a pipe that the execution closes; -1: nothing waits for that
	failure [2]int32   // what the child writes to the pipe: an errno, and why; zeroes: it runs
	says    int32      // the child's end of the pipe
	cloned  [11]uint64 // struct clone_args

	listen, watchdog [32]byte // the variables LISTEN_PID and WATCHDOG_PID with the command's PID
}

// startCommand makes the command's process. It returns the PID or a negative errno, and puts the
// pidfd into facts.
//
// The child shares the memory and has a stack of its own. So this process does not wait until
// execve(2) has returned, which can hang on a file system that does not answer. Where the kernel
// refuses that, the child has a copy of the memory.
//
//go:nosplit
func startCommand() int {
	stack := topOf(addr(&command.stack), commandStackSize)
	facts.Pidfd = -1
	closeEnvironment()
	if command.quiet {
		if r := watchExecution(); r < 0 {
			return r
		}
	}
	command.says, command.failure = command.watch[1], [2]int32{} // this process closes it as watch[1]
	pid := cloneCommand(stack)
	closeFD(command.watch[1])
	command.watch[1] = -1
	if pid < 0 {
		endWatch()
		return pid
	}
	if facts.Pidfd >= 0 && facts.Pidfd < 3 {
		facts.Pidfd = high(int(facts.Pidfd))
	}
	if facts.Pidfd >= 0 && sendByPidfd(facts.Pidfd, 0) == errNoSystem {
		closeFD(facts.Pidfd)
		facts.Pidfd = -1
	}
	return pid
}

// cloneCommand clones the child, with what the kernel does not refuse. It returns the PID or a
// negative errno.
//
//go:nosplit
func cloneCommand(stack unsafe.Pointer) int {
	if facts.Cgroup >= 0 && !command.moves {
		command.cloned = [11]uint64{
			0:  unix.CLONE_VM | unix.CLONE_PIDFD | unix.CLONE_INTO_CGROUP, // flags
			1:  uint64(addr(&facts.Pidfd)),                                // pidfd
			4:  uint64(unix.SIGCHLD),                                      // exit_signal
			5:  uint64(addr(&command.stack)),                              // stack
			6:  uint64(uintptr(stack) - addr(&command.stack)),             // stack_size
			10: uint64(facts.Cgroup),                                      // cgroup
		}
		return int(spawnInto(addr(&command.cloned), unsafe.Sizeof(command.cloned), becomeCommand))
	}
	const exitSignal = uintptr(unix.SIGCHLD)
	pid := int(spawn(unix.CLONE_VM|unix.CLONE_PIDFD|exitSignal, stack, &facts.Pidfd, becomeCommand))
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_VM|exitSignal, stack, nil, becomeCommand))
	}
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_PIDFD|exitSignal, stack, &facts.Pidfd, becomeCommand))
	}
	if isRefused(pid) {
		pid = int(spawn(exitSignal, stack, nil, becomeCommand))
	}
	return pid
}
