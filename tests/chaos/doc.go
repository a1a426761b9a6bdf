// Package chaos runs the built binary on random trees of processes, with random faults, signals and
// roles, and checks after every round, from outside, what finite promises: it has ended in time,
// with the right status, nothing is left but what the kernel itself cannot end, that is named, and
// what it has counted is what others have counted.
//
//	go test ./tests/chaos                                      # a short form
//	make chaos                                                 # 2000 rounds
//	go test ./tests/chaos -chaos.seed 4711 -chaos.rounds 1     # one round again
//
// A round is a function of its seed alone (type round). It runs in a cage: a PID namespace whose
// init is the observer, which starts finite, sends the signals, and lists who is left. A round that
// fails while the machine stood still (testkit.Canaries) is played again; that one passed the
// second time proves nothing about the first, so how many were repeated is said at the end. Nothing
// of the machine's is filled: limits are those of cgroups that the round makes and removes.
package chaos
