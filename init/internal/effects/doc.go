// Package effects carries out what the machine decides, and tells what happens.
//
// There are two kinds. [Direct] clones, waits and signals by itself. [Linked] is that of a
// supervisor: the keeper clones, waits and passes signals on. What both do alike, such as the kill
// of the tree and its inspection, is in one place.
//
// Their methods are the owner's, one goroutine's, and never block; events are posted from others.
// Effects own the command's pidfd, the terminal, the timers and goroutines that they begin, and the
// command's cgroup once the command was started; Close gives everything back.
//
// They decide nothing: no action is left out or added, except where the comment of one says so.
package effects
