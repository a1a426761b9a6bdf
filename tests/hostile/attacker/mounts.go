package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/hostile/plan"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// bait makes a FIFO, which keeps whoever opens it.
func (a *attacker) bait() string {
	path := filepath.Join(filepath.Dir(a.Log), fmt.Sprintf("fifo-%d", os.Getpid()))
	_ = unix.Mkfifo(path, 0o666)
	return path
}

// cover mounts one file over another.
func (a *attacker) cover(from, to string) {
	err := unix.Mount(from, to, "", unix.MS_BIND, "")
	if a.try(err); err == unix.EPERM {
		a.lacks("mount", err)
	}
}

// coverProc mounts a FIFO over files of finite's processes, and then something over all of /proc.
func (a *attacker) coverProc() {
	if !a.first("proc") {
		return
	}
	fifo := a.bait()
	pids := []any{"self", "thread-self", os.Getpid(), a.prey.command}
	for _, p := range a.targets() {
		pids = append(pids, p.pid)
	}
	for _, pid := range pids {
		for file := range strings.FieldsSeq("comm status stat cmdline cgroup environ mountinfo maps limits wchan children fd") {
			a.cover(fifo, fmt.Sprintf("/proc/%v/%s", pid, file))
		}
	}
	if a.random.IntN(2) == 0 {
		a.try(unix.Mount("none", "/proc", "tmpfs", 0, ""))
	}
}

// coverFiles mounts a FIFO over finite's binary, over devices, and over what options name.
func (a *attacker) coverFiles() {
	if !a.first("files") {
		return
	}
	fifo := a.bait()
	const hugePages = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size" // the Go runtime reads it
	others := []string{a.Finite, "/dev/null", "/dev/urandom", hugePages, "/etc/passwd", "/etc/localtime"}
	for _, path := range append(a.records(), others...) {
		a.cover(fifo, path)
	}
	a.try(unix.Unmount(a.Records, unix.MNT_DETACH))
	a.try(unix.Mount("none", a.Records, "tmpfs", unix.MS_RDONLY, ""))
}

// stuckFile is a file of a FUSE file system that never answers.
func (a *attacker) stuckFile() string { return filepath.Join(filepath.Dir(a.Log), "stuck") }

// stuckMark is there when the other is, or is about to be, which nobody can look at.
func (a *attacker) stuckMark() string { return a.stuckFile() + ".made" }

// beServer serves it. That is a process of its own, and opens nothing of what it serves: one that
// waits for itself is nobody's to kill.
func (a *attacker) beServer() {
	err := testkit.MountStuck(a.stuckFile())
	if err != nil {
		a.lacks("FUSE", err)
	}
	_, _ = unix.Write(3, []byte("ready\n"))
	unix.Close(3)
	if err != nil {
		os.Exit(1)
	}
}

// startServer leaves a server where there is to be one: before the files are covered that a program
// reads when it starts.
func (a *attacker) startServer() {
	uses := func(s plan.Step) bool { return s.Attack == "fuse" }
	if !slices.ContainsFunc(a.Command, uses) && !slices.ContainsFunc(a.Leftover, uses) {
		return
	}
	if os.WriteFile(a.stuckMark(), nil, 0o666) == nil {
		a.leave("server")
	}
}

// fuse mounts a file that never answers over the same.
func (a *attacker) fuse() {
	if !a.first("fuse") {
		return
	}
	cmdline, status := fmt.Sprintf(
		"/proc/%d/cmdline",
		a.prey.command,
	), fmt.Sprintf(
		"/proc/%d/status",
		os.Getpid(),
	)
	others := []string{a.Finite, "/dev/null", cmdline, status, "/proc/self/fd", "/proc/stat"}
	for _, to := range append(a.records(), others...) {
		a.cover(a.stuckFile(), to)
	}
}
