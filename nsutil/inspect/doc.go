// Package inspect says why processes do not end: for every process of a tree ([TakeSnapshot]), for
// those that a kill has left ([FindSurvivors]), and for all or one of the machine's ([Inspect]).
//
// It guarantees that each of these returns in time, whatever hangs, with what could be read. Files
// of /proc that can hang on a process's memory (cmdline, environ, maps) are never read. A read that
// hangs for another reason is left to a goroutine of its own; there are six of these at most.
//
// What it returns belongs to the caller.
//
// It signals nobody, and changes nothing.
package inspect
