// Package signals is about what arrives: which signals a process is sent, by whom, under which names, and which of them are
// passed on as something else.
//
// It guarantees:
//
//   - A standard signal that was sent is delivered by the [Source] at least once after the last time it was sent; several of
//     the same number may be merged, as the kernel does with a pending one.
//   - Signals of finite's own making (a write to a closed pipe, a write to a terminal from the background) are never
//     delivered as if somebody had sent them: see [Shielded].
//   - [Parse] and [Name] agree: Parse(Name(s)) == s for every signal number.
//
// # Ownership
//
// A process has one set of signal dispositions, so there is one Source at a time; this package alone changes dispositions and
// signal masks. Whoever called [Listen] owns the Source and closes it, once. The values on its channel are plain copies.
//
// # What it does not do
//
// The Source here is built on os/signal. It knows neither the sender nor the value of a signal, it merges real-time signals of one
// number that arrive faster than they are read, and it does not see SIGURG (the Go runtime sends that to itself to preempt
// goroutines), SIGPROF, and 32, 33 and 34: the runtime leaves these to C libraries, so that their default ends the process (of PID 1
// the kernel ignores them). Faults of the process itself are not delivered, only those that were sent. SIGHUP and SIGINT are left alone where they were ignored at start, so that nohup works.
package signals
