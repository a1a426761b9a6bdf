// Package ending says how a command may end, and how it has ended, as data.
//
// A [Policy] is complete: no field of it stands for a default, and its ladders are made. A [Result]
// is what became of a command. Nothing here acts, waits or reads a clock, and nothing depends on
// the machine that it runs on. The maker of a value owns it; readers may share it.
package ending
