// Package sys makes the system calls of the time when a command runs, so that none of them needs a
// thread that is not there.
//
// The Go runtime is told of a system call before and after it, and lets another thread run Go code
// if it takes its time; if there is no other thread, it makes one. When that fails, because the
// command has filled a pids limit or RLIMIT_NPROC, the runtime aborts, and no recover helps. So
// there are two kinds of call here:
//
//   - [Wait] is for a call that waits for something: the runtime is told that it does, and goes on
//     with another thread at once. Each place in the program that can be in such a call keeps a
//     thread, which must be there from the start (pid1.Reserve).
//   - All others the kernel answers without waiting for anybody, so the runtime is not told. They
//     do not block, except for want of memory.
//
// What is not here, package unix does, and the runtime is told of it. While a command runs that is
// the log's write, and the read of a file in /proc/PID: of these, stat, wchan and stack wait for a
// process that is stuck in execve(2).
//
// Calls that a signal has interrupted are made again. Errors are bare [unix.Errno]s.
package sys
