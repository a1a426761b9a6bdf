//go:build amd64 || arm64

package keeper

import "golang.org/x/sys/unix"

// helpers is how many writers and closers are under way. Where the kernel refuses children without
// an exit signal, they are ordinary ones.
var (
	helpers         int32
	ordinaryHelpers bool
	helperPause     int64 // from the last look whether they have ended to the next one
	abandoned       int32 // supervisors that SIGKILL has not ended: who keeps them in the kernel may let them go
)

// nextHelper is when to look whether writers and closers have ended, since nothing tells: at ever
// longer intervals, and not at all where one hangs.
//
//go:nosplit
func nextHelper() int64 {
	if helpers <= 0 || helperPause > second {
		return 0
	}
	helperPause = helperPause*2 + millisecond
	return now() + helperPause
}

// isBusyHelper reports whether a child is a writer or a closer.
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

// forgetHelper reports whether a child that was reaped is a writer or a closer, and takes note of its
// end.
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

// reapHelpers takes away the writers and closers that have ended. A plain wait does not see them.
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

// awaitAbandoned waits for a moment for supervisors that were kept by something that is gone.
//
//go:nosplit
func awaitAbandoned() {
	for until := now() + goodbyeTime; abandoned > 0 && now() < until; {
		if reapHelpers(); abandoned > 0 {
			pause(millisecond / 4)
		}
	}
}

const goodbyeTime = 100 * millisecond

// awaitHelpers waits for what is being said and closed, a second at most. Children that are no
// helpers end unseen. Whoever is still at work then is killed: a line that nobody reads would keep
// its writer for good.
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

// killHelpers kills writers and closers, and reports whether there are any.
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
