// Package tree signals and kills everything that descends from the root of this process's tree (see
// package nsutil), or, as PID 1, everything else in the PID namespace.
//
// It guarantees:
//
//   - A tree is bounded by descent, and by the command's cgroup, if there is one. Process groups,
//     sessions, double forks and names make no difference, and neither do cgroups that a process
//     moves to.
//   - As a subreaper nothing outside the tree is signalled. A direct child is signalled while its
//     PID is pinned. A deeper one is signalled through a pidfd, after its parent was checked during
//     that pidfd's lifetime. kill(-1) is for PID 1 only.
//   - [Tree.Kill] stops everybody first, and kills when nobody new appears any more: processes that
//     fork while they are being killed do not get away.
//   - A /proc of another PID namespace is not believed. Without one, the children of a subreaper
//     are signalled, for which the kernel's word is enough.
//
// A [Tree] belongs to one goroutine at a time. It closes the descriptors that it opens before it
// returns.
//
// It never waits for a process; that is package reap's. Processes in a PID namespace below are
// signalled like any others, but their orphans go to the init of their own namespace.
package tree
