// Package pid1 runs one command and makes it end: it is the supervisor of finite, an init for
// containers.
//
// It guarantees:
//
//   - [Run] returns when the command has ended and nothing of the tree below it is left, which only
//     ECHILD from waitid(2) proves; or when the give-up time after the last SIGKILL is over, and
//     then [ending.Result.Survivors] names who is left and why.
//   - The context's deadline is the command's deadline, its cancellation is a request to stop. What
//     was observed first counts: a command that had already exited is never reported as timed out.
//   - Every signal that the [signals.Source] delivers is passed on to the command, or counted as
//     not passed on. Before there is a command, one that asks for an end ends the run with nothing
//     started; the others wait for the command.
//   - Where the source is exact, the command starts with the signal mask, the ignored set, the
//     limit of open files and the timer slack that this process was started with.
//   - The command's direct process is signalled through the pidfd that clone returned and never
//     after it was reaped. Where pidfds are refused, kill(2) takes their place, while the process
//     is a child that nobody has consumed.
//   - Logging never blocks supervision: lines go through a bounded queue, and what does not fit is
//     counted.
//   - [Supervise] does the same for a keeper (package keeper), which clones, waits and passes
//     signals on. It goes on with a run that another supervisor, or the keeper, has begun.
//   - The threads that the end needs are there before the command is (in a supervisor, where there
//     is an ending to enforce), so a command that has used up a limit of processes cannot make the
//     Go runtime abort for want of one ([Reserve]). With GOMAXPROCS 1, as finite has it, they are
//     five; with more than 2 there is no such guarantee.
//
// # One process, or several
//
// Run is the form of one process: a program that is the init itself, and a build without package
// keeper's entry point. Elsewhere finite is a keeper, a front where the keeper is not PID 1, and a
// supervisor where there is something to decide. The machine is the same in both forms. What it
// decides is carried out by this process in the one, and by the keeper in the other (package
// effects).
//
// # Namespaces
//
// Namespaces are made before there is a keeper, and the keeper is in them. Where that takes Go, the
// process that does it runs Plan: it writes what the kernel is to be asked for, which a process
// without Go carries out.
//
// # Ownership
//
// The goroutine that called Run or Supervise owns the run: it alone feeds the machine, carries out
// what that says, and closes. With Run, one goroutine starts the command and waits for children
// (package reap); with Supervise the keeper does both, and one goroutine listens to it. One
// goroutine signals trees. Timers, the context and the signal source only send events.
//
// There is one exception, for speed: while the command runs, the signal source passes on by itself
// what the machine would pass on as it is, and so do the keeper and the front. The owner says from
// when on and until when, through a pidfd that stays open for longer, and hears of it before it
// hears of anything that came of it.
//
// # Rooms
//
// A [Config] becomes an ending.Policy. Package machine decides by it, package effects carries out,
// package spawn starts the command, and package record writes. docs/ARCHITECTURE.md has the whole.
//
// # What it does not do
//
// It does not know what a service is: nothing is restarted, and there are no dependencies. A
// process can hold one Run at a time, since dispositions, children and the subreaper attribute
// belong to the whole process; a second one returns [ErrBusy].
package pid1
