// Package hostile has a command attack the built binary that runs it, with all that the kernel
// allows a process of the same user, and checks from outside what finite promises: it has ended in
// time, with the right status, nothing is left, the command was started once, and the report is
// true, or missing and said to be.
//
//	go test ./tests/hostile                                        # a short form
//	make hostile                                                   # ten minutes
//	go test ./tests/hostile -hostile.seed 4711 -hostile.rounds 1   # one round again
//
// A round is a function of its seed alone (type round): a role, a user, options, and attacks. The
// command attacks first. What it leaves goes on, while finite ends the tree, until it is killed.
// A round runs in a cage: a PID namespace whose init is the observer, which starts finite, waits
// for it, and lists who is left. What no init can prevent is not among the attacks: that is the
// table of docs/security.md, which this package measures as well.
package hostile
