// Package procfs reads /proc: what the kernel tells of a process (proc_pid_stat(5),
// proc_pid_status(5) and the like), and lists of processes and children.
//
// It guarantees that a /proc of another PID namespace is not believed ([Proc.Mounted]), that a file
// that somebody has mounted over one of the procfs is not read (Linux 5.6; stat, wchan and stack
// are), and that no text makes a parser panic.
//
// A [Proc] belongs to one goroutine. It opens a file for each read and closes it again.
//
// A Proc does not limit how long a read takes: stat, wchan and stack of a process that is stuck in
// execve(2) hang. A [Limited] does.
package procfs
