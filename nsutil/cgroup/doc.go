// Package cgroup finds the cgroups of this process, makes one for the command, kills who is in it,
// and removes it (cgroups(7)). It counts the processes that the kernel has killed for want of
// memory.
//
// It guarantees:
//
//   - Only a cgroup that this package made is killed, and only one of the kind that it makes is
//     removed: its own, and those that another finite, which was killed, has left.
//   - No process of finite is killed by a cgroup: each is moved out before.
//   - Removing is bounded in time, and waits for nobody where that is not asked for.
//
// A [Cgroup] belongs to one goroutine at a time. It holds the descriptors of its directory and of
// the one above until it is removed. A change of mounts, or of the cgroups of this process, does
// not change which cgroup it means.
//
// It needs cgroup v2 with cgroup.kill (Linux 5.14). Counting works in v1 as well. It does not set
// limits, and it does not enable controllers.
package cgroup
