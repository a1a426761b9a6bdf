package main

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/hostile/plan"
)

// spared are limits that these attacks leave alone: that of processor time kills, and is a case of
// its own (TestTable); those of open files are a step of their own.
func spared(resource int) bool {
	return resource == unix.RLIMIT_CPU || resource == unix.RLIMIT_NOFILE
}

// limits takes away what limits can take away. That of processes counts for the whole machine, so
// that it means nothing but zero.
func (a *attacker) limits() {
	for _, p := range a.targets() {
		for resource := range 16 {
			if !spared(resource) {
				a.limit(p.pid, resource, 0)
			}
		}
	}
}

// limitFiles leaves room for no descriptor.
func (a *attacker) limitFiles() {
	for _, p := range a.targets() {
		a.limit(p.pid, unix.RLIMIT_NOFILE, uint64(a.random.IntN(5)))
	}
}

func (a *attacker) limit(pid, resource int, to uint64) {
	limit := unix.Rlimit{Cur: to, Max: to}
	if resource == unix.RLIMIT_NICE || resource == unix.RLIMIT_RTPRIO {
		limit = unix.Rlimit{}
	}
	a.try(unix.Prlimit(pid, resource, &limit, nil))
}

// schedule has a target run last, on one processor, while somebody else is busy there.
func (a *attacker) schedule() {
	const (
		idle      = 5 // SCHED_IDLE
		batch     = 3
		byProcess = 1 // IOPRIO_WHO_PROCESS
		idleIO    = 3 << 13
		rotten    = 19
		busy      = 50_000_000 // ns
	)
	var zero [4]byte // struct sched_param
	var one unix.CPUSet
	one.Set(0)
	for _, p := range a.targets() {
		pid := uintptr(p.pid)
		a.try(unix.SchedSetaffinity(p.pid, &one))
		a.try(unix.Setpriority(unix.PRIO_PROCESS, p.pid, rotten))
		a.try(call(unix.SYS_IOPRIO_SET, byProcess, pid, idleIO))
		a.try(call(unix.SYS_SCHED_SETSCHEDULER, pid, batch, uintptr(unsafe.Pointer(&zero))))
		a.try(call(unix.SYS_SCHED_SETSCHEDULER, pid, idle, uintptr(unsafe.Pointer(&zero))))
		a.try(call(unix.SYS_SCHED_SETSCHEDULER, pid, 1, uintptr(unsafe.Pointer(&[4]byte{1})))) // SCHED_FIFO
		empty := unix.CPUSet{}
		a.try(unix.SchedSetaffinity(p.pid, &empty))
		migrate := []uintptr{1, 0}
		a.try(
			call(
				unix.SYS_MIGRATE_PAGES,
				pid,
				2,
				uintptr(unsafe.Pointer(&migrate[0])),
				uintptr(unsafe.Pointer(&migrate[1])),
			),
		)
	}
	if !a.first("busy") {
		return
	}
	_ = unix.SchedSetaffinity(0, &one)
	until := plan.Now() + busy
	for plan.Now() < until {
		a.random.Uint64()
	}
}
