// Package keeper is the part of finite that runs without a Go runtime: it starts the command,
// passes signals on, waits for children, keeps the deadline, and ends what is left. It works on
// Linux on amd64 and arm64, in a binary that begins at its entry point.
//
// It guarantees:
//
//   - Where the arguments are plain, a command that ends by itself, or at its deadline, and leaves
//     no process, never starts the Go runtime. The exception is a command that is killed while
//     finite is PID 1: a supervisor says why.
//   - The command is started once. Its end, its status and its deadline do not depend on one
//     supervisor: a supervisor that dies, hangs or cannot start is replaced. After three failures
//     in a row the keeper goes on by heart.
//   - The death of the front ends the tree. The death of the keeper ends the tree too, through the
//     front. Out of its reach is what the keeper left in a PID namespace that was joined.
//
// # Processes
//
//	as PID 1:    keeper ─► command             elsewhere:   caller ─► front ─► keeper ─► command
//	                └─► supervisor, when there is something to decide ◄───────────┘
//
// The caller is the process that started finite, such as a shell. The front is the process that it
// started: it stays in the caller's session and process group, passes signals on, is stopped and
// continued with the command, and ends with its status. The keeper is the command's parent, and the
// subreaper of the tree: of the command and its descendants. A supervisor is a fork of the keeper
// that goes on to the Go runtime. [Attach] is how its main finds out. A helper is a child that does
// what can hang: a writer writes a line to stderr, a closer closes descriptors.
//
// # Words
//
//   - Arguments are plain where the keeper can parse them: see plain. Then there is no supervisor
//     until there is something to decide.
//   - A stop signal asks for an end: SIGHUP, SIGINT, SIGQUIT or SIGTERM. A stop is one by job
//     control: SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU.
//   - A quiet end of the command is one that a supervisor has nothing to say about: see
//     [QuietTime].
//   - By heart is without a supervisor or planner, by fixed rules.
//   - The latest time is when the run should be over, as a supervisor announces it.
//   - An older child is one from before finite was executed. It is not part of the tree.
//
// # Namespaces
//
// With --unshare and --join the front clones the keeper into the namespaces. What else is to be
// done there first is a [Plan]: a list of system calls, which a child of the front carries out
// before it is the keeper. A plan for a list of namespaces is made by heart. Any other is made by a
// planner, a fork of the front that goes on to the Go runtime and shares the memory of the plan.
//
// # Ownership
//
// The keeper alone starts and reaps the command, the supervisors, and the orphans of the tree. The
// front starts and reaps the keeper and the planner, and reaps a supervisor that the keeper leaves
// to it. Both have helpers.
//
// Each process owns its copy of this package's variables. A fork takes over what was known until
// then, which is how a supervisor gets the facts ([Facts]). After the fork the processes exchange
// messages over a socket pair ([Message]). A process shares the memory of the plan with its
// planner, and its own memory with helpers and with the child that is about to execute the command.
//
// The caller's descriptors are for the command: the front and the keeper close their copies.
//
// # Code without a runtime
//
// entry is the ELF entry point (the linker's -E names it). It calls begin, which is compiled Go on
// the process's own stack. From there on nothing allocates, panics or grows a stack: every function
// is go:nosplit, variables that change hold no pointers (which would bring write barriers), and no
// index has a bounds check. A test disassembles what entry reaches. Ordinary Go are
// attach_linux.go, planbuild_linux.go, plain_linux.go, unpin in pin_linux.go and init in
// runtime_linux.go.
//
// # Files
//
// The start, in the order in which it happens:
//
//   - entry_linux_*.s: the entry point, system calls and clones
//   - start: begin, the signalfds, and the split into front and keeper
//   - parse, value, environment: the arguments, their values, and the command's environment
//   - seal: the copy of the program for a container that is joined
//   - early: a stop signal before there is a command
//   - planner, plan, planbuild: how the keeper's namespaces are made
//
// The front:
//
//   - front: its loop, and the messages of the keeper
//   - frontpass: how it passes signals on
//   - frontleave: its end, and the end of a run whose keeper has died
//   - foreign: what differs where the keeper is in another PID namespace
//
// The keeper:
//
//   - keeper: its loop, and the start of the command
//   - command, child, execute: the clone of the command, and what the child does
//   - watch: whether the command was executed
//   - children: what happens to children
//   - hearfront, pass, rules: the messages of the front, and how signals are passed on
//   - stops: the stops of a command in the caller's process group, in keeper and front
//   - terminal: the foreground of the terminal
//   - ladder: the deadline, and what else the clock brings
//   - end: whether the run is over, and with which status
//   - heart, lastresort: the ending by heart, and its signals
//
// The keeper and a supervisor:
//
//   - supervisor: its start and end
//   - ask: whether it lives
//   - hearsupervisor, tellsupervisor: its messages, and messages to it
//   - runtime, pin: what a fork does before the Go runtime starts
//   - attach: the supervisor's end, in ordinary Go
//
// All of them:
//
//   - facts: what the keeper knows of the run
//   - message, socket: the messages, and how they are sent
//   - signal: sets of signals, and what has arrived
//   - descriptors, closer: which descriptors are closed, and by which process
//   - memory: the program's memory
//   - helpers, say, line, sender, errortext: helpers, and lines on stderr
//   - proc: files of /proc
//   - poll, clock, timer: waits and times
//   - kernel, words: system calls, and memory without a runtime
//   - plain: the parser of plain arguments, for a test
//
// # What it does not do
//
// It reads no option but the timeout, the grace time and a list of namespaces, and of others only
// whether they are about namespaces or run no command. It knows no policy, writes no report, and
// makes no cgroup.
package keeper
