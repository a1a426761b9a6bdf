// Package signals is about what arrives: which signals a process is sent, by whom, under which
// names, and which of them are passed on as something else.
//
// It guarantees:
//
//   - A standard signal that was sent is delivered by the [Source] at least once after the last
//     time it was sent, however long nobody reads; several of the same number may be merged, as the
//     kernel does with a pending one.
//   - Signals of finite's own making (a write to a closed pipe, a write to a terminal from the
//     background, the Go runtime's own) are never delivered as if somebody had sent them; nor is a
//     fault of its own.
//   - [Parse] and [Name] agree: Parse(Name(s)) == s for every signal number.
//
// # The source
//
// A [Source] is for a process in which the Go runtime is at work from the start. It is built on
// os/signal: it knows neither the sender nor the value of a signal, and it merges real-time signals
// of one number that arrive faster than they are read. It does not see SIGURG, which the Go runtime
// sends to itself to preempt goroutines, and SIGPROF; nor 32, 33 and 34, which the runtime leaves
// to C libraries, so that their default ends the process (of PID 1 the kernel ignores them). Faults
// of the process itself are not delivered, only those that were sent. SIGHUP and SIGINT are left
// alone where they were ignored at start, so that nohup works. A process of package keeper reads
// signalfds instead.
//
// # Ownership
//
// A process has one set of signal dispositions, so there is one Source at a time; this package
// alone changes dispositions and signal masks. Whoever called [Listen] owns the Source and closes
// it, once. The values on its channel are plain copies.
package signals
