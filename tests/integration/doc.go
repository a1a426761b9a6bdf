// Package integration tries the built binary on real processes, as PID 1, as a subreaper, and as an
// unprivileged user.
//
// Every run that starts something happens in a cage: a PID namespace of its own whose first process
// the test can kill, and which is killed with the test. What a failed run leaves behind ends with
// its cage. Root makes cages directly; anybody else by way of a user namespace. Wrong uses start
// nothing. They are scripts of testdata/script.
//
// The binary is FINITE_BIN, or is built here. What the machine lacks is named in the skip;
// FINITE_TEST_REQUIRE=all makes that a failure.
package integration
