//go:build amd64 || arm64

// Command receiver is what the benchmark runs under an init, and answers its signals with as little
// of its own as there can be: one thread, no C library, and no Go runtime either, since it begins
// at entry and stays in assembly. (A Go program gets a signal on any of its threads, and wakes some
// others on the occasion; the differences between the inits are smaller than that.)
//
// It has a handler for SIGUSR1 and for the real-time signal 40. When that runs it reads
// CLOCK_MONOTONIC, which is the same clock in all processes, and writes what it read, a struct
// timespec, to standard output: a pipe. It does so once at the start, too, to say that it is ready.
// When nobody can read from the pipe any more, it exits. So it cannot outlive the benchmark,
// however that ends, and neither can the init, whose command has ended.
package main

import "os"

// entry is the ELF entry point: go build -ldflags '-E main.entry'.
func entry() //nolint:unused // the linker's -E names it

func main() {
	_, _ = os.Stderr.WriteString("receiver: not linked with -E main.entry\n")
	os.Exit(2)
}
