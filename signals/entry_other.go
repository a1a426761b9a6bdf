//go:build !amd64 && !arm64

package signals

import (
	"os"
	"sync/atomic"
)

// listenEntry returns nil: there is no entry point for this architecture.
func listenEntry() *Source { return nil }

// AtStart returns what the process was started with, and whether that is known.
func AtStart() (Inherited, bool) { return Inherited{}, false }

// Environ returns the environment that the process was started with.
func Environ() []string { return os.Environ() }

func entered() bool { return false }

type entrySource struct{ coarse bool }

func (*entrySource) finished(Signal)          {}
func (*entrySource) mark() uint32             { return 0 }
func (*entrySource) reached(uint32) bool      { return true }
func (*entrySource) pass(int, bool, Set, Set) {}
func (*entrySource) settle()                  {}
func (*entrySource) catchChildren()           {}
func (*entrySource) close()                   {}

var (
	lost  atomic.Int32
	quiet atomic.Uint32
)
