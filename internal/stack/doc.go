// Package stack gives goroutines the room that they are going to need.
//
// A goroutine begins with 2 KiB of stack. When that is full the runtime copies it to one twice as
// large, again and again. It looks up where in it the pointers are, and takes pages for each size,
// which in a program that lives for two milliseconds counts.
package stack

// Grow makes the caller's stack 16 KiB large at once.
func Grow()

// This package imports nothing, so this is done before the packages are initialized that need it.
func init() { Grow() }
