//go:build amd64 || arm64

package main

import (
	"context"
	"os"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/internal/keeper"
)

// supervise is main in a process that the keeper has forked. The signals of this process are
// nobody's, and none ends it.
func supervise(link *keeper.Link, args, env []string) {
	stderrFD = link.Stderr
	if link.Plan != nil {
		os.Exit(plan(link, args, env))
	}
	status, left, err := superviseFor(link, args, env)
	if err != nil && link.Facts.Begun() {
		return // the keeper knows how the run ends, and starts another one
	}
	end := keeper.Message{Kind: keeper.KindEnd, Value: int32(status)}
	if left {
		end.Count = 1
	}
	_ = link.Tell(end, -1)
}

// plan is main in a process that completes a plan. It returns the exit status.
func plan(link *keeper.Link, args, env []string) int {
	_ = link.Tell(keeper.Message{Kind: keeper.KindHello}, -1) // from here on it says itself what is wrong
	opts, err := parseOptions(args, env)
	if err != nil {
		return fail(err)
	}
	cfg := opts.config
	cfg.Env = withoutOptions(env)
	if err := pid1.Plan(context.Background(), link, cfg); err != nil {
		return fail(opts.describe(err))
	}
	return 0
}

// superviseFor returns the exit status, whether a process is left, and an error, which was said, if
// it could not begin.
func superviseFor(link *keeper.Link, args, env []string) (status int, left bool, err error) {
	opts := &options{logFormat: "text"}
	opts.config.Args = []string{"the command"} // what it is, the keeper has said where that matters
	if !link.Facts.Plain {
		if opts, err = parseOptions(args, env); err != nil {
			return fail(err), false, err
		}
	}
	cfg := opts.config
	cfg.Log = newLogger(opts, stderr{})
	result, err := pid1.Supervise(context.Background(), link, cfg, isOwnVariable)
	if err != nil {
		return fail(opts.describe(err)), false, err
	}
	return result.ExitStatus, result.GaveUp || cfg.Leftovers == ending.LeftoversLeave, nil
}
