//go:build amd64 || arm64

// Command say is the tiny static program that the benchmark of the start runs under an init. It
// writes one byte to standard output and exits, without a C library and without a Go runtime,
// since it begins at entry and stays in assembly.
package main

import "os"

// entry is the ELF entry point: go build -ldflags '-E main.entry'.
func entry() //nolint:unused // the linker's -E names it

func main() {
	_, _ = os.Stderr.WriteString("say: not linked with -E main.entry\n")
	os.Exit(2)
}
