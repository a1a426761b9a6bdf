//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// A helper is a child that does what can hang: a writer writes a line to stderr (see say), and a
// closer closes descriptors (see closer).
var (
	helpers         int32 // how many are at work
	ordinaryHelpers bool  // helpers have an exit signal: the kernel refused others
	helperPause     int64 // between two looks whether helpers have ended
	abandoned       int32 // supervisors that SIGKILL has not ended yet: the kernel keeps them
)

// nextHelper is when to look whether helpers have ended, since no signal tells. Looks are ever
// farther apart, and stop where a helper hangs.
//
//go:nosplit
func nextHelper() int64 {
	if helpers <= 0 || helperPause > second {
		return 0
	}
	helperPause = helperPause*2 + millisecond
	return now() + helperPause
}

// isBusyHelper reports whether a child is a helper at work.
//
//go:nosplit
func isBusyHelper(pid int32) bool {
	for i := int32(0); i < writers; i++ {
		if lineAt(i).writer == pid {
			return true
		}
	}
	return closerAt(0).pid == pid || closerAt(1).pid == pid
}

// forgetHelper takes note of the end of a child that was reaped. It returns false where the child
// was no helper.
//
//go:nosplit
func forgetHelper(pid int32) bool {
	for i := int32(0); i < writers; i++ {
		if l := lineAt(i); l.writer == pid {
			l.writer = 0
			helpers--
			return true
		}
	}
	for i := int32(0); i < 2; i++ {
		if c := closerAt(i); c.pid == pid {
			c.pid = 0
			helpers--
			return true
		}
	}
	return false
}

// reapHelpers reaps helpers and abandoned supervisors that have ended. A plain waitid(2) does not
// see them, since they have no exit signal.
//
//go:nosplit
func reapHelpers() {
	for helpers > 0 || abandoned > 0 {
		pid := wait(unix.P_ALL, 0, unix.WEXITED|unix.WNOHANG|unix.WCLONE)
		switch {
		case pid <= 0:
			if pid == errNoChild {
				abandoned = 0
				if !ordinaryHelpers {
					helpers = 0
				}
			}
			return
		case pid == int(supervisor.pid):
			supervisorEnded()
		case !forgetHelper(int32(pid)):
			abandoned--
		}
	}
}

// awaitAbandoned waits for abandoned supervisors for goodbyeTime. What kept them may be gone.
//
//go:nosplit
func awaitAbandoned() {
	for until := now() + goodbyeTime; abandoned > 0 && now() < until; {
		if reapHelpers(); abandoned > 0 {
			pause(millisecond / 4)
		}
	}
}

// goodbyeTime is how long the end of the keeper or front waits for what was killed.
const goodbyeTime = 100 * millisecond

// awaitHelpers waits for helpers for a second at most, and then kills them. A line that no process
// reads would keep its writer for good. Other children that end meanwhile are not noticed.
//
//go:nosplit
func awaitHelpers() {
	for until := now() + second; now() < until; {
		reapHelpers()
		if helpers <= 0 {
			return
		}
		pause(millisecond / 4)
	}
	for until := now() + goodbyeTime; killHelpers() && now() < until; {
		reapHelpers()
		pause(millisecond / 4)
	}
}

// killHelpers kills the helpers, and reports whether there are any.
//
//go:nosplit
func killHelpers() (found bool) {
	for i := int32(0); i < writers; i++ {
		if l := lineAt(i); l.writer != 0 {
			kill(l.writer, int32(unix.SIGKILL))
			found = true
		}
	}
	for i := int32(0); i < 2; i++ {
		if c := closerAt(i); c.pid != 0 {
			kill(c.pid, int32(unix.SIGKILL))
			found = true
		}
	}
	return found
}
