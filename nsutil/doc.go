// Package nsutil says where this process stands: in which role it is the root of a tree of
// processes, which processes are finite's own, and which namespaces it can make or join.
//
// It guarantees that the role does not change while the process lives, and that a descriptor that
// [OpenNamespaces] returns is a namespace's.
//
// What is true of the process as a whole is kept here, and set once at the start, by [WorkFor] and
// [Spare]. Everything else owns nothing.
//
// It does not look at other processes: that is what the packages below it do. Package cgroup makes
// and kills the command's cgroup, package tree signals and kills the tree, and package inspect says
// why a process does not end.
package nsutil
