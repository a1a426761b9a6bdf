// Package faults has system calls of finite's own processes fail, hang and be late, one in each
// run, and kills and stops these processes at their system calls. It checks from outside what
// finite promises: a run is refused before the command starts, with one line and status 125, or it
// ends in time, with the right status, and nothing is left.
//
//	go test ./tests/faults                     # a short form
//	make faults                                # at most 15 minutes
//	make faults CASE=subreaper/deadline/keeper/ppoll/3/ENOMEM
//
// A case is a point and a fault. A point is the n-th call of one system call by one kind of process
// (process) in one setting. A recording, a run without a fault, says which points there are. The
// fault is an errno that the manual page of the call lists, or one of those of table_test.go. Every
// case runs in a cage: a PID namespace whose init is the observer, which traces finite by
// ptrace(2). The command is not traced. Once the fault has happened, neither is finite.
//
// Go's scheduler orders the calls of a supervisor's threads anew in each run. So the n-th call is
// not always the same one, and it may not come at all: such a case is played again, and then
// counts as missed.
package faults
