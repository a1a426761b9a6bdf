//go:build amd64 || arm64

package keeper

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// What a process does before it goes on to the Go runtime. All signals are blocked by then, and the
// runtime leaves most of them so on its threads.

// init is as early as Go code can be.
func init() {
	if attached.socket > 0 {
		deafen()
	}
}

// runtimeStack is the room that the runtime takes for granted below the arguments, and more.
const runtimeStack = 256 << 10

const auxEnd = 0 // AT_NULL

// prepareRuntime returns the address at which the runtime is to find argc, argv, envp and what
// follows them: in a copy that lacks what an environment tells the Go runtime (GOGC, GODEBUG and
// the like, which are the command's) and says GOMAXPROCS=1. It returns 0 where there is no memory.
//
// The limit of open files is lowered to the three standard ones. The runtime then cannot read the
// size of huge pages and a cgroup's CPU limit, none of which a supervisor needs, and which takes
// 0.1 ms, or longer where there are many mounts. The runtime raises the limit afterwards. Timers
// are coarse, since the runtime's monitor sleeps 20 us at a time while there is work.
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
	environment := 1 + plain.count + 1 // behind argc, argv and a zero
	words := environment
	for wordAt(block, words) != 0 {
		words++
	}
	environmentEnd := words
	words++
	for wordAt(block, words) != auxEnd { // pairs
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

var fileLimit unix.Rlimit

const coarseSlack = 2 * millisecond // of each thread's timers (PR_SET_TIMERSLACK)

// deafSet is what the Go runtime unblocks on its threads, and what would end the process. Faults
// are not among them, which are of use to the runtime.
const deafSet = endSet | 1<<(unix.SIGSTKFLT-1) | 1<<(unix.SIGABRT-1) | 1<<(unix.SIGTRAP-1) | 1<<(unix.SIGSYS-1) | 1<<(unix.SIGPROF-1)

// deafen has these signals ignored, since nobody sends a supervisor anything by them. The runtime
// respects that for SIGHUP and SIGINT; for the rest it is done again (see init).
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

// openStandard puts something that can neither be read nor written where a standard descriptor is
// closed. The runtime would open /dev/null, over which the command may have mounted a file that
// does not answer, and abort where there is none.
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
