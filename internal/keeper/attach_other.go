//go:build !amd64 && !arm64

package keeper

import "os"

// Link is what a supervisor shares with the keeper. On this platform there is no keeper.
type Link struct{}

// Entered returns false: there is no entry point on this platform.
func Entered() bool { return false }

// SignalsBlocked returns false: this process is no supervisor.
func SignalsBlocked() bool { return false }

// Environ returns the environment that this process was started with.
func Environ() []string { return os.Environ() }

// Attach returns nil: this process is no supervisor.
func Attach() *Link { return nil }
