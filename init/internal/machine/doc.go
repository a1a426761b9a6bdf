// Package machine decides how a run goes on. It is pure: no system call, no clock, no goroutine.
//
// A [Machine] is told events, one at a time, and answers with actions, which its owner carries out
// in order before the next event. Time passes in timers that the machine asks for.
//
//	starting ──► running ──► stopping ──► leftovers ──► ended
//	                └─────────────────────────▲
//	each of these ──► killing ──► ended
//	                     └──────► survey ──► ended
//
// It guarantees for every order of events: states only go forward; the command is not signalled
// before EvStarted nor after EvExited; ActEnd comes once, and last; and once an ending has begun,
// it is reached if timers fire, whatever else does or does not happen.
//
// It knows neither the effects, which carry its actions out, nor the records.
package machine
