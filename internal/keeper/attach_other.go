//go:build !amd64 && !arm64

package keeper

import "os"

// Link is a supervisor's end of what it shares with the keeper. Here there is none.
type Link struct{}

// Entered returns false: there is no entry point here.
func Entered() bool { return false }

// SignalsBlocked returns false: this process is no supervisor.
func SignalsBlocked() bool { return false }

// Environ returns the environment that the process was started with.
func Environ() []string { return os.Environ() }

// Attach returns nil: this process is no supervisor.
func Attach() *Link { return nil }
