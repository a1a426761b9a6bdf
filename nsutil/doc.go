// Package nsutil knows where this process stands: in which role it is the root of a tree of processes, in which namespaces and cgroups, who belongs to
// that tree, and how all of it is signalled or killed. It reads /proc and the cgroup file systems, makes cgroups, and opens namespaces.
//
// It guarantees:
//
//   - A tree is bounded by descent, and by the cgroup that was made for it, if one was. Process groups, sessions, double forks and names make no
//     difference, and neither do cgroups that a process moves to.
//   - Only a cgroup that this process made is ever killed, and only such as one of its kind made is ever removed.
//   - A /proc that is not this PID namespace's is not believed. Without one, a subreaper's children are signalled, which it takes the kernel's word for.
//   - As a subreaper nothing outside the tree is signalled: a direct child is signalled while its PID is pinned, a deeper one
//     through a pidfd, after it was checked during that pidfd's lifetime who its parent is. kill(-1) is for PID 1 only.
//   - [Tree.Kill] stops first, and kills when nothing new appears any more, so that processes that fork while they are being killed
//     do not get away.
//   - Files of /proc that can hang on the target's memory lock (cmdline, environ, maps) are never read.
//   - [Inspect] and [TakeSnapshot] return in time, whatever hangs, with what could be read.
//
// # Ownership
//
// A [Tree] belongs to one goroutine at a time, and so does a [Cgroup]. A tree owns the descriptors it opens and closes them before it returns. Parsers take
// bytes and own nothing.
//
// # What it does not do
//
// It never waits for a process; that is package reap's. Processes in a PID namespace below are seen and signalled like any
// others, but their orphans go to the init of their own namespace.
package nsutil
