// Package reap waits for children: it is the one place where this process learns that a child
// ended, and the only proof that nothing of a tree is left.
//
// It guarantees:
//
//   - Every child, including orphans that the kernel hands over, is looked at, consumed by its PID,
//     and told of, once. Orphans are told of in batches, so that thousands that end together cost
//     little more than their system calls.
//   - The registered child is not consumed before the receiver has said so ([Handler.Exited]
//     returned). Until then its PID belongs to it, and a signal to that PID cannot hit a stranger.
//   - While a [Loop] is pinned ([Loop.Lock]), no child's PID is freed.
//   - Empty means that waitid(2) said ECHILD: there is no child, not even a zombie. As PID 1 or a
//     child subreaper, that is the whole tree, except for what entered the PID namespace from
//     outside.
//
// # Ownership
//
// The goroutine in [Loop.Run] starts the child and waits, in a system call that keeps its thread.
// No other goroutine waits. SIGCHLD is not used, __WALL is not used.
//
// # What it does not do
//
// It waits for every child of the process, not only for its own: a program that uses it must not
// run other children in other ways at the same time. A wait that blocks cannot be taken back; a
// Loop that is closed while children live keeps its thread until one of them changes state, and
// then leaves that child for others to collect.
package reap
