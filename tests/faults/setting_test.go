//go:build amd64

package faults

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// setting is how finite is run.
type setting struct {
	name    string
	options string // of finite; DIR is a directory for its files
	command string // of a shell; it says first that it has started
	status  int
	initial bool // finite is PID 1
	report  bool // it writes a report to DIR/report
}

// Times of the settings.
const (
	timeout  = 150 * time.Millisecond
	grace    = 100 * time.Millisecond
	giveUp   = 5 * time.Second
	margin   = 2 * time.Second
	harassed = 8 * time.Second
	stopped  = 3 * time.Second
	limited  = "-t 150ms -k 100ms"
	unending = "exec sleep 60"
	stubborn = "trap '' TERM; sleep 60; :"
	orphans  = "sleep 60 & exit 3"
)

// settings are all of them, by names.
var settings = func() map[string]*setting {
	all := map[string]*setting{}
	for _, s := range []setting{
		{name: "plain", command: "exit 3", status: 3},
		{name: "deadline", options: limited, command: unending, status: 124},
		{name: "stubborn", options: limited, command: stubborn, status: 124},
		{name: "verbose", options: "-v " + limited, command: unending, status: 124},
		{name: "records", options: "--report DIR/report --events DIR/events", command: "exit 3", status: 3, report: true},
		{
			name: "late", options: limited + " --report DIR/report", command: stubborn, status: 124, report: true,
		},
		{name: "unshare", options: "--unshare pid,mount", command: "exit 3", status: 3},
		{
			name: "planned", options: "--unshare pid,mount,uts --hostname box " + limited + " --report DIR/report",
			command: stubborn, status: 124, report: true,
		},
		{name: "orphans", options: "-k 100ms", command: orphans, status: 3},
		{
			name: "cgroup", options: "--timeout 60s -k 100ms --cgroup auto --report DIR/report", command: orphans, status: 3,
			report: true,
		},
	} {
		for _, role := range []string{"init/", "subreaper/"} {
			one := s
			one.name, one.initial = role+s.name, role == "init/"
			all[one.name] = &one
		}
	}
	return all
}()

// hasDeadline reports whether there is an ending that finite enforces.
func (s *setting) hasDeadline() bool { return strings.Contains(s.options, "-t ") }

// args are what is run. As PID 1 finite finds the /proc of its PID namespace.
func (s *setting) args(finite, dir string) []string {
	args := []string{finite}
	args = append(args, strings.Fields(strings.ReplaceAll(testkit.Stretch(s.options), "DIR", dir))...)
	args = append(args, "--", "/bin/sh", "-c", ": >"+filepath.Join(dir, "started")+"; exec 2>/dev/null; "+s.command)
	if s.initial {
		const mounted = `mount -t proc proc /proc && exec "$@"`
		args = append([]string{"/bin/sh", "-c", mounted, "sh"}, args...)
	}
	return args
}

// mainKind is what the process is that the caller starts. A PID 1 that makes namespaces has its
// keeper there.
func (s *setting) mainKind() string {
	if s.initial && !strings.Contains(s.options, "--unshare") {
		return asKeeper
	}
	return asFront
}
