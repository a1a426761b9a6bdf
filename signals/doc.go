// Package signals is about what arrives: which signals a process is sent, by whom, under which names, and which of them are
// passed on as something else; and about what it was started with, which its child is to start with.
//
// It guarantees:
//
//   - A standard signal that was sent is delivered by the [Source] at least once after the last time it was sent, however long
//     nobody reads; several of the same number may be merged, as the kernel does with a pending one.
//   - Signals of finite's own making (a write to a closed pipe, a write to a terminal from the background, the Go runtime's own)
//     are never delivered as if somebody had sent them; nor is a fault of its own.
//   - [Parse] and [Name] agree: Parse(Name(s)) == s for every signal number.
//
// # The exact source
//
// A binary that is linked with
//
//	go build -ldflags '-E github.com/finite-init/finite/signals.entry'
//
// on amd64 or arm64 begins in this package, before the Go runtime. So does one with the entry point of package keeper,
// which goes on here where the Go runtime is to start. Then [Listen] gives a source that besides
//
//   - delivers every signal that can be caught, with its sender, and those of sigqueue(3) with their value;
//   - delivers real-time signals of one number in the order in which they were sent, none merged: 1024 of all numbers together can wait
//     to be read, what comes beyond that is counted as lost ([Source.Lost]);
//   - passes signals on by itself, if it is allowed to ([Source.Pass]), without a thread of the Go runtime having to run;
//   - and [AtStart] knows the signal mask, the ignored set, RLIMIT_NOFILE and the timer slack that the process was started with, and
//     [Environ] the environment.
//
// From its first instruction on nothing is lost: SIGTERM, SIGINT and SIGHUP end the process with 128+n until Listen, everything else
// waits. The exception are signals that the Go runtime unblocks on its threads and makes an end of: SIGQUIT, SIGSTKFLT and the
// faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS) end the process with the runtime's trace and status 2 if somebody sends
// them while the runtime starts, which takes about half a millisecond. SIGPROF, 32 and 34 are delivered without their sender if they come
// before that, and SIGPROF is lost during it. SIGRTMIN (34) is in order once all of the runtime's threads have been told to leave it to
// the receiver: 10 ms after the command was started, and again 250 ms after; a thread that the runtime makes later may still take one.
//
// The entry point also sets what the runtime does: GOMAXPROCS is 1, and allocations are not sampled. A program that needs more says so by
// runtime.GOMAXPROCS and runtime.MemProfileRate. Goroutines are not preempted by signals. What GOMAXPROCS, GODEBUG, GOGC and the like are in
// the environment, only the command is told.
//
// # The other source
//
// Any other build has a source on os/signal. It knows neither the sender nor the value of a signal, it merges real-time signals of one
// number that arrive faster than they are read, and it does not see SIGURG (the Go runtime sends that to itself to preempt
// goroutines, which the exact source has it do without), SIGPROF, and 32, 33 and 34: the runtime leaves these to C libraries, so that their default ends the process (of PID 1
// the kernel ignores them). Faults of the process itself are not delivered, only those that were sent. SIGHUP and SIGINT are left alone
// where they were ignored at start, so that nohup works.
//
// # Ownership
//
// A process has one set of signal dispositions, so there is one Source at a time; this package alone changes dispositions and
// signal masks. Whoever called [Listen] owns the Source and closes it, once. The values on its channel are plain copies.
package signals
