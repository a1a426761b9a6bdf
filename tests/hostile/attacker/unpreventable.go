package main

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// What no init prevents. These are played for the table alone.

// killTogether kills every target before one of them can act on the end of another.
func (a *attacker) killTogether() {
	for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
		for _, p := range a.targets() {
			a.try(unix.Kill(p.pid, sig))
		}
	}
}

// killEverybody kills whoever this process may kill, but itself.
func (a *attacker) killEverybody() { a.try(unix.Kill(-1, unix.SIGKILL)) }

// limitTime leaves a second of processor time.
func (a *attacker) limitTime() {
	for _, p := range a.targets() {
		a.limit(p.pid, unix.RLIMIT_CPU, 1)
	}
}

// freeze freezes the whole cgroup, this process too.
func (a *attacker) freeze() {
	a.try(errnoIn(os.WriteFile(filepath.Join(a.Cgroup, "cgroup.freeze"), []byte("1"), 0)))
}

// killCgroup kills the whole cgroup, this process too.
func (a *attacker) killCgroup() {
	a.try(errnoIn(os.WriteFile(filepath.Join(a.Cgroup, "cgroup.kill"), []byte("1"), 0)))
}
