//go:build !amd64 && !arm64

package main

import "github.com/finite-init/finite/internal/keeper"

// supervise is never called: there are no supervisors here.
func supervise(*keeper.Link, []string, []string) {}
