// Package spawn starts the command.
//
// StartChild clones in this process: with a process group, a terminal's foreground, a cgroup and a
// pidfd, as far as the kernel grants them. A [CallList] is for a keeper: the system calls that a
// process without Go makes so that it is in namespaces, in the order in which the kernel takes
// them.
//
// A [Command] owns its cgroup until it is started. The package neither waits for children nor
// decides what follows from a failure.
package spawn
