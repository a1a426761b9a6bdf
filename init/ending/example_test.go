package ending_test

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
)

// A ladder says by which signals a command is ended, and when.
func ExampleParseLadder() {
	ladder, err := ending.ParseLadder("USR1@-1m,TERM@0s,KILL@10s", time.ParseDuration)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ladder)
	_, err = ending.ParseLadder("TERM@0s", time.ParseDuration)
	fmt.Println(err)
	// Output:
	// USR1@-1m0s,TERM@0s,KILL@10s
	// must end with KILL
}

// A policy says what a command that ended in some way is reported as.
func ExamplePolicy_ExitStatus() {
	policy := ending.Policy{TimeoutExit: ending.DefaultTimeoutExit, Expect: []int{3}}
	for _, cause := range []ending.Cause{
		{Kind: ending.KindExited, Known: true, ExitCode: 3},
		{Kind: ending.KindSignaled, Known: true, Signal: unix.SIGSEGV},
		{Kind: ending.KindDeadline, Known: true, Signal: unix.SIGTERM},
	} {
		fmt.Println(cause.Kind, policy.ExitStatus(cause, true))
	}
	// Output:
	// exited 0
	// signaled 139
	// deadline 124
}
