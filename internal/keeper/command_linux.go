//go:build amd64 || arm64

package keeper

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	commandStackSize = 8192
	pathSize         = 4096 // PATH_MAX
)

var command struct {
	path  [pathSize + 16]byte    // with the byte that ends it; the stack stays aligned
	stack [commandStackSize]byte // the end of it is used, which is on a page with what follows
	group bool                   // it is to lead a process group of its own
	quiet bool                   // a supervisor says what fails
	tty   int32                  // the terminal whose foreground it is to get; -1: none
	pid   int32                  // as the command sees it

	onTerminal bool // there is a controlling terminal

	wanted  bool // a supervisor has asked for it
	grouped bool // and for a process group of its own
	settled bool // it runs, and what is the caller's can be left

	moves   bool       // it moves into its cgroup by itself
	ran     bool       // it has run at all
	told    bool       // the supervisor knows that it runs
	why     int32      // why it was not executed, a NotStarted
	watch   [2]int32   // a pipe that is closed by the execution, -1: nobody wants to know
	failure [2]int32   // what the child says by the pipe: an errno and a NotStarted
	says    int32      // the child's end of the pipe
	cloned  [11]uint64 // struct clone_args

	listen, watchdog [32]byte // LISTEN_PID and WATCHDOG_PID, which named finite
}

// startCommand makes the command's process. It returns the PID or a negative errno, and puts the
// pidfd into facts.
//
// The child shares the memory and has a stack of its own, so nobody waits until execve(2) has
// returned, which can hang on a file system that does not answer. Where that is refused the child
// has a copy of the memory.
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
	command.says, command.failure = command.watch[1], [2]int32{} // the parent forgets the other one
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

//go:nosplit
func cloneCommand(stack unsafe.Pointer) int {
	if facts.Cgroup >= 0 && !command.moves {
		command.cloned = [11]uint64{
			0: unix.CLONE_VM | unix.CLONE_PIDFD | unix.CLONE_INTO_CGROUP, 1: uint64(addr(&facts.Pidfd)), 4: uint64(unix.SIGCHLD),
			5: uint64(addr(&command.stack)), 6: uint64(uintptr(stack) - addr(&command.stack)), 10: uint64(facts.Cgroup),
		}
		return int(spawnInto(addr(&command.cloned), unsafe.Sizeof(command.cloned), becomeCommand))
	}
	pid := int(spawn(unix.CLONE_VM|unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), stack, &facts.Pidfd, becomeCommand))
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_VM|uintptr(unix.SIGCHLD), stack, nil, becomeCommand))
	}
	if isRefused(pid) {
		pid = int(spawn(unix.CLONE_PIDFD|uintptr(unix.SIGCHLD), stack, &facts.Pidfd, becomeCommand))
	}
	if isRefused(pid) {
		pid = int(spawn(uintptr(unix.SIGCHLD), stack, nil, becomeCommand))
	}
	return pid
}
