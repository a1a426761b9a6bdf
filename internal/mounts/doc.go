// Package mounts reads lists of mounts and cgroups: the texts of /proc/PID/mountinfo and
// /proc/PID/cgroup (proc_pid_mountinfo(5), cgroups(7)). It finds the directory of a cgroup among
// the mounts of its hierarchy.
//
// It guarantees that no text, whoever wrote it, makes it panic, and that a directory that it
// returns is not covered by a later mount. Its functions are pure: they open nothing and own
// nothing.
//
// It does not read the files, and it does not prove that a directory is the one that is meant; that
// is package cgroup's.
package mounts
