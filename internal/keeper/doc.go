// Package keeper is the part of finite that runs without a Go runtime: it starts the command,
// forwards signals, waits for children, keeps the deadline, and ends what is left.
//
// It guarantees:
//
//   - A command that ends by itself, or at its deadline, and leaves nothing, never starts the Go
//     runtime.
//   - The command is started once. Its end, its status and its deadline do not depend on the
//     supervisor: one that dies, hangs or cannot start is replaced, and after three of them the
//     keeper ends the tree by heart.
//   - The death of the front ends the tree. The death of the keeper ends the tree too, through the
//     front.
//
// # Processes
//
//	as PID 1:    keeper ─► command             elsewhere:   caller ─► front ─► keeper ─► command
//	                └─► supervisor, when there is something to decide ◄───────────┘
//
// The front is the process that the caller started. It stays in the caller's session and process
// group, passes signals on, is stopped and continued with the command, and ends with its status.
// The keeper is the command's parent and the subreaper of the tree. The supervisor is a fork of the
// keeper that goes on to the Go runtime; [Attach] is how its main finds out.
//
// # Namespaces
//
// With --unshare and --join the front clones the keeper into the namespaces. What else is to be
// done there first is a [Plan]: a list of system calls, which a child of the front carries out
// before it is the keeper. A plan for a list of kinds is made by heart; any other is made by a
// planner, a fork of the front that goes on to the Go runtime and shares the memory of the plan.
//
// # Ownership
//
// The keeper alone clones and waits. Each process owns its copy of this package's variables: a fork
// takes over what was known until then, which is how the supervisor gets the facts ([Facts]). After
// the fork they exchange messages over a socket pair ([Message]). A supervisor that has nothing to
// say about a quiet end ([QuietTime]) says so when it has the command started: the keeper then ends
// by itself.
//
// # Code without a runtime
//
// entry is the ELF entry point (the linker's -E names it). It calls begin, which is compiled Go on
// the process's own stack. From there on nothing allocates, panics or grows a stack: every function
// is go:nosplit, mutable state holds no pointers (which would bring write barriers), and no index
// has a bounds check. A test disassembles what entry reaches. Ordinary Go are attach_linux.go,
// planbuild_linux.go and plain_linux.go alone.
//
// # What it does not do
//
// It reads no option but the timeout, the grace time and a list of namespaces, knows no policy,
// writes no report, and makes no cgroup.
package keeper
