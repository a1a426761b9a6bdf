//go:build amd64 || arm64

package keeper

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// A supervisor or a planner prepares itself for the Go runtime. All signals are blocked by then,
// and the runtime leaves most of them blocked on its threads.

// init is the first Go code after the start of the runtime.
func init() {
	if attached.socket > 0 {
		deafen()
	}
}

// runtimeStack is more than the stack that the runtime expects below the arguments.
const runtimeStack = 256 << 10

const auxEnd = 0 // AT_NULL

// prepareRuntime returns the address at which the runtime is to find argc, argv, envp and what
// follows them, or 0 where there is no memory. They are a copy. It lacks the environment variables
// that the Go runtime reads (GOGC, GODEBUG and the like, which are for the command) and has
// GOMAXPROCS=1.
//
// The limit of open files is lowered to the three standard ones. So the runtime cannot read the
// size of huge pages and the CPU limit of a cgroup. A supervisor needs neither, and both take 0.1
// ms, or longer where there are many mounts. The runtime raises the limit afterwards. Timers are
// coarse, since the runtime's monitor sleeps 20 µs at a time while there is work.
//
//go:nosplit
func prepareRuntime() uintptr {
	pin()
	runtime.MemProfileRate = 0
	openStandard()
	deafen()
	sys2(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, coarseSlack)
	sys4(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, 0, addr(&fileLimit))
	if fileLimit.Cur > 3 {
		fileLimit.Cur = 3
		sys4(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, addr(&fileLimit), 0)
	}
	block := plain.start - 8
	environment := 1 + plain.count + 1 // after argc, argv and a zero
	words := environment
	for wordAt(block, words) != 0 {
		words++
	}
	environmentEnd := words
	words++
	for wordAt(block, words) != auxEnd { // the auxiliary vector: pairs of a key and a value
		words += 2
	}
	words += 2
	size := uintptr(words+3)*8 + runtimeStack
	const private = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
	r := sys5(unix.SYS_MMAP, 0, size, unix.PROT_READ|unix.PROT_WRITE, private, ^uintptr(0))
	if r < 0 && r > -4096 {
		return 0
	}
	copied := (uintptr(r) + runtimeStack) &^ 15
	to := 0
	for from := 0; from < words; from++ {
		word := wordAt(block, from)
		if from >= environment && from < environmentEnd && hasPrefix(word, "GO") != 0 {
			continue
		}
		if from == environmentEnd {
			setWord(copied, to, text("GOMAXPROCS=1\x00"))
			to++
		}
		setWord(copied, to, word)
		to++
	}
	return copied
}

// fileLimit is the limit of open files.
var fileLimit unix.Rlimit

// coarseSlack is the timer slack of each thread (PR_SET_TIMERSLACK).
const coarseSlack = 2 * millisecond

// deafSet are the signals that the Go runtime unblocks on its threads and whose default is to end
// the process. Faults are not among them: the runtime handles them.
const deafSet = endSet | 1<<(unix.SIGSTKFLT-1) | 1<<(unix.SIGABRT-1) | 1<<(unix.SIGTRAP-1) |
	1<<(unix.SIGSYS-1) | 1<<(unix.SIGPROF-1)

// deafen ignores the signals of deafSet, since no process sends a supervisor anything by them. The
// runtime leaves that so for SIGHUP and SIGINT. For the rest init calls deafen again.
//
//go:nosplit
func deafen() {
	scratchAction = action{handler: ignored}
	for n := int32(1); n <= 64; n++ {
		if inSet(deafSet, n) {
			sys4(unix.SYS_RT_SIGACTION, uintptr(n), addr(&scratchAction), 0, 8)
		}
	}
}

// openStandard opens a descriptor that can neither be read nor written for each standard one that
// is closed. The runtime would open /dev/null. It aborts where there is none, and hangs where the
// command has mounted a file over it that does not answer.
//
//go:nosplit
func openStandard() {
	for fd := uintptr(0); fd < 3; fd++ {
		if sys2(unix.SYS_FCNTL, fd, unix.F_GETFD) >= 0 {
			continue
		}
		openNothing()
	}
}
