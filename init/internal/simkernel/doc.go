// Package simkernel simulates what finite asks of the kernel, for tests: processes with parents,
// zombies, subreapers, tracers, signals, pidfds, waitid(2), /proc and a cgroup.
//
// A [Kernel] lives in a bubble of testing/synctest. What processes do is timers of the bubble; each
// call of finite's takes some of the bubble's time, so that processes act between any two calls.
// Whatever is random comes from one source, which a seed begins.
//
// Processes follow scripts ([Script]): they fork, become daemons, ignore signals, stop themselves,
// hang in the kernel, leave the cgroup, and so on. Numbers of processes are few and given again at
// once, often to a stranger, who is no part of the tree.
//
// No binary imports this package.
package simkernel
