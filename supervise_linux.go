//go:build amd64 || arm64

package main

import (
	"github.com/finite-init/finite/init"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/signals"
)

// supervise goes on with a run of which everything is the default, but for what the keeper itself has parsed. The signals
// of this process are nobody's: they are caught so that none ends it.
func supervise(link *keeper.Link) {
	own := signals.Listen()
	go func() {
		for sig := range own.C {
			own.Done(sig)
		}
	}()
	pid1.Supervise(link, pid1.Config{Args: []string{"command"}, Log: newLogger(&options{logFormat: "text"}, stderr{})})
}
