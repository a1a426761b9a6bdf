package pid1_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/ending"
)

// A command, and what it has left in the background, are over at the deadline.
func ExampleRun() {
	result, err := pid1.Run(context.Background(), pid1.Config{
		Args:    []string{"sh", "-c", "setsid sleep 1000 & sleep 1000"},
		Timeout: 50 * time.Millisecond,
		Grace:   ending.AtOnce,
	})
	if err != nil {
		fmt.Println(err) // the command was not supervised at all
		return
	}
	fmt.Println(result.ExitStatus, result.Cause.Kind, len(result.Survivors))
	// Output: 124 deadline 0
}

// The context asks the command to stop; what it exits with then may be a success.
func ExampleRun_context() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	result, err := pid1.Run(ctx, pid1.Config{
		Args:        []string{"sh", "-c", "sleep 1000"},
		TimeoutExit: pid1.TimeoutExitZero,
	})
	fmt.Println(result.ExitStatus, result.Cause.Signal, err)
	// Output: 0 terminated <nil>
}

// What cannot be used is named, and nothing is started.
func ExampleUsageError() {
	_, err := pid1.Run(context.Background(), pid1.Config{Args: []string{"true"}, Grace: ending.Never})
	var usage *pid1.UsageError
	if errors.As(err, &usage) {
		fmt.Println(usage.Field)
	}
	// Output: Grace
}
