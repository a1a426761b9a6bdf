package cage

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

const toldFD = 3 // the pipe to the outside

// Must ends the process where something fails that never should.
func Must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cage:", err)
		os.Exit(98)
	}
}

// Enter makes the process the PID 1 of a cage. Mounts are the cage's own from here on, /proc shows
// its processes, and the thread stays the first one: what is set for it alone, as a filter or
// no_new_privs, is what its children have.
func Enter() {
	runtime.LockOSThread()
	OwnMounts(true)
	unix.CloseOnExec(toldFD)
}

// OwnMounts keeps mounts within this mount namespace. With proc set, /proc becomes that of this PID
// namespace.
func OwnMounts(proc bool) {
	Must(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if proc {
		Must(unix.Mount("proc", "/proc", "proc", 0, ""))
	}
}

// Fork starts the test binary once more, which plays a role. Attr needs neither files nor an
// environment: those are this process's own.
func Fork(role string, order any, attr syscall.ProcAttr) (pid int) {
	if attr.Files == nil {
		attr.Files = []uintptr{0, 1, 2}
	}
	var err error
	attr.Env, err = environment(Environ(), role, order)
	Must(err)
	self, err := os.Executable()
	Must(err)
	pid, err = syscall.ForkExec(self, []string{self}, &attr)
	Must(err)
	return pid
}

// Wait waits for the end of one child, and returns its Status. Whatever else ends stays a zombie,
// and so is there to be seen.
func Wait(pid int) int {
	for {
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
			Must(err)
			return Status(ws)
		}
	}
}

// Status is the exit status of a process, or the negative number of the signal that ended it.
func Status(ws syscall.WaitStatus) int {
	if ws.Signaled() {
		return -int(ws.Signal())
	}
	return ws.ExitStatus()
}

// Reap waits for children that have ended, until the condition holds or the time is over.
func Reap(limit time.Duration, until func() bool) {
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		if until() || time.Since(begin) > limit {
			return
		}
	}
}

// Everybody lists who is in the cage besides its PID 1.
func Everybody() []testkit.Process {
	all, err := testkit.Everybody()
	Must(err)
	return all
}

// Tell tells the outside what was seen.
func Tell(seen any) {
	text, err := json.Marshal(seen)
	Must(err)
	_, err = syscall.Write(toldFD, text)
	Must(err)
}
