package main

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/record"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// options is what the command line and the environment say.
type options struct {
	config    pid1.Config
	group     bool
	forwarded bool // --forward was given
	help      bool
	version   bool
	timeline  string // the report to draw; empty: none
	inspect   inspection
	verbosity int
	logLevel  string
	logFormat string
	variables map[string]string // the values of options that the environment has set, by long names
}

// optionTable has the options in the order of the help. Nothing in it is a call: the linker makes
// all of it.
var optionTable = [...]option{
	{
		long: "timeout", short: 't', arg: "D", field: "Timeout",
		help: "deadline, from the command's start; 0: none",
		set:  func(o *options, v string) (err error) { o.config.Timeout, err = parseDuration(v, 0, ""); return },
	},
	{
		long: "deadline", arg: "TIME", field: "Deadline",
		help: "deadline by the wall clock, RFC 3339: 2026-01-31T18:30:00Z",
		set: func(o *options, v string) error {
			at, err := time.Parse(time.RFC3339, v)
			if err != nil {
				return errors.New("not a time of the form 2026-01-31T18:30:00Z (RFC 3339)")
			}
			o.config.Deadline = at
			return nil
		},
	},
	{
		long: "stop-signal", arg: "SIG", field: "StopSignal", rivals: []string{"escalate"},
		help: "first signal when finite itself ends something [TERM]",
		set: func(o *options, v string) (err error) {
			o.config.StopSignal, err = signals.Parse(v)
			if err == nil && o.config.StopSignal == unix.SIGSTOP {
				return errors.New("SIGSTOP ends nothing")
			}
			return err
		},
	},
	{
		long: "grace", short: 'k', arg: "D", field: "Grace", rivals: []string{"escalate"},
		help: "from that signal to SIGKILL; 0: SIGKILL at once [5s]",
		set: func(o *options, v string) (err error) {
			o.config.Grace, err = parseDuration(v, 0, "")
			if o.config.Grace == 0 {
				o.config.Grace = ending.AtOnce
			}
			return err
		},
	},
	{
		long: "stop-grace", arg: "D", field: "StopGrace", rivals: []string{"escalate"},
		help: "the same for a stop that is requested by TERM, INT, QUIT or HUP [off]",
		set: func(o *options, v string) (err error) {
			o.config.StopGrace, err = parseDuration(v, 0, "off")
			if o.config.StopGrace == 0 {
				o.config.StopGrace = ending.AtOnce
			}
			return err
		},
	},
	{
		long: "escalate", arg: "LADDER", field: "Escalate", rivals: []string{"stop-signal", "grace", "stop-grace"},
		help: "all three in one: USR1@-60s,QUIT@0,TERM@5s,KILL@15s; DUMP@0: a snapshot of the tree",
		set: func(o *options, v string) (err error) {
			o.config.Escalate, err = ending.ParseLadder(
				v,
				func(s string) (time.Duration, error) { return parseDuration(s, 0, "") },
			)
			return err
		},
	},
	{
		long: "snapshot", field: "Snapshot",
		help: "when finite itself begins to end something, first tell who is in the tree: on stderr, and " +
			"beside the report",
		turn: func(o *options, b bool) { o.config.Snapshot = b },
	},
	{
		long: "stop-delay", arg: "D", field: "StopDelay",
		help: "hold the first signal that requests a stop back for D; a second one ends the wait [0]",
		set:  func(o *options, v string) (err error) { o.config.StopDelay, err = parseDuration(v, 0, ""); return },
	},
	{
		long: "leftovers", arg: "POLICY", field: "Leftovers",
		help: "when the command has ended, what to do with the rest: terminate, kill, wait, leave [terminate]",
		set:  func(o *options, v string) (err error) { o.config.Leftovers, err = ending.ParseLeftovers(v); return },
	},
	{
		long: "give-up", arg: "D", field: "GiveUp",
		help: "after SIGKILL, how long to wait for what cannot die, at least 100ms; off: for ever [5s]",
		set: func(o *options, v string) (err error) {
			o.config.GiveUp, err = parseDuration(v, pid1.MinGiveUp, "off")
			return err
		},
	},
	{
		long: "timeout-exit", arg: "N", field: "TimeoutExit",
		help: "exit status when the deadline ended the command, 0-255 [124]",
		set: func(o *options, v string) (err error) {
			o.config.TimeoutExit, err = parseStatus(v)
			if o.config.TimeoutExit == 0 {
				o.config.TimeoutExit = pid1.TimeoutExitZero
			}
			return err
		},
	},
	{
		long: "preserve-status", field: "PreserveStatus",
		help: "exit with the command's own status when the deadline ended it",
		turn: func(o *options, b bool) { o.config.PreserveStatus = b },
	},
	{
		long: "expect", short: 'e', arg: "N", field: "Expect", list: true,
		help: "report the command's exit status N, 0-255, as 0 (repeatable)",
		set: func(o *options, v string) error {
			n, err := parseStatus(v)
			o.config.Expect = append(o.config.Expect, n)
			return err
		},
	},
	{
		long: "stop-exit", arg: "N", field: "StopExit", list: true,
		help: "the same, if its end was requested: by TERM, INT, QUIT or HUP, or the lifeline (repeatable)",
		set: func(o *options, v string) error {
			n, err := parseStatus(v)
			o.config.StopExit = append(o.config.StopExit, n)
			return err
		},
	},
	{
		long: "parent-death", short: 'p', arg: "SIG", field: "ParentDeath",
		help: "act as if SIG had been sent when the parent process ends",
		set:  func(o *options, v string) (err error) { o.config.ParentDeath, err = signals.Parse(v); return },
	},
	{
		long: "forward", arg: "TO", field: "Forward", rivals: []string{"group"},
		help: "who gets signals: child, group (its process group), all (the whole tree) [child]",
		set: func(o *options, v string) (err error) {
			o.forwarded = true
			o.config.Forward, err = ending.ParseForward(v)
			return err
		},
	},
	{
		long: "group", short: 'g', rivals: []string{"forward"}, help: "short for --forward group",
		turn: func(o *options, b bool) { o.group = b },
	},
	{
		long: "rewrite", arg: "A:B", field: "Rewrite", list: true,
		help: "pass signal A on as B, or drop it if B is 0 (repeatable)",
		set:  func(o *options, v string) error { return o.config.Rewrite.ParseRule(v) },
	},
	{
		long: "lifeline", arg: "FD", field: "Lifeline", list: true,
		help: "stop when this descriptor hangs up, stdin or fd:N, or when the parent process ends: parent " +
			"(repeatable)",
		set: func(o *options, v string) error {
			fd, err := parseLifeline(v)
			o.config.Lifeline = append(o.config.Lifeline, fd)
			return err
		},
	},
	{
		long: "report", arg: "FILE", field: "Report",
		help: "write a report (JSON) at every change of state: a path or fd:N",
		set:  func(o *options, v string) error { return setRecord(&o.config.Report, v) },
	},
	{
		long: "state-file", arg: "FILE", field: "StateFile",
		help: "write the OCI runtime-spec's State of the command: a path or fd:N",
		set:  func(o *options, v string) error { return setRecord(&o.config.StateFile, v) },
	},
	{
		long: "events", arg: "FILE", field: "Events",
		help: "write a line (JSON) about everything that happens: a path or fd:N",
		set:  func(o *options, v string) error { return setRecord(&o.config.Events, v) },
	},
	{
		long: "events-format", arg: "FORMAT", field: "EventsFormat",
		help: "json, or trace: for the viewers of Chrome and Perfetto [json]",
		set: func(o *options, v string) (err error) {
			o.config.EventsFormat, err = record.ParseEventsFormat(v)
			return
		},
	},
	{
		long: "pause", field: "Pause",
		help: "run nothing: reap, until TERM or INT (exit status 0) or the deadline, and end what else is there",
		turn: func(o *options, b bool) { o.config.Pause = b },
	},
	{
		long: "unshare", arg: "LIST", field: "Unshare",
		help: "make namespaces for the command: pid, mount, uts, ipc, net, user, cgroup, time, all",
		set:  func(o *options, v string) (err error) { o.config.Unshare, err = nsutil.ParseNamespaces(v); return },
	},
	{
		long: "join", arg: "TARGET", field: "Join", list: true,
		help: "join the namespaces of a process, PID or PID:LIST, or one by the path of its file (repeatable)",
		set: func(o *options, v string) error {
			_, _, _, err := nsutil.SplitJoin(v)
			o.config.Join = append(o.config.Join, v)
			return err
		},
	},
	{
		long: "hostname", arg: "NAME", field: "Hostname", help: "host name in the new UTS namespace",
		set: func(o *options, v string) error { o.config.Hostname = v; return nil },
	},
	{
		long: "map-root", field: "MapRoot",
		help: "map the caller to root in the new user namespace, instead of to itself",
		turn: func(o *options, b bool) { o.config.MapRoot = b },
	},
	{
		long: "cgroup", arg: "MODE", field: "Cgroup",
		help: "a cgroup for the command, to kill it with: auto (where there is an ending to enforce), off, " +
			"require [auto; off with no option but -t and -k]",
		set: func(o *options, v string) (err error) { o.config.Cgroup, err = ending.ParseCgroupMode(v); return },
	},
	{
		long: "verbose", short: 'v', rivals: []string{"log-level"},
		help: "say more on stderr: -v info, -vv debug; FINITE_VERBOSE=2 is -vv",
		set: func(o *options, v string) error {
			n := 1
			if v != "" {
				var err error
				if n, err = strconv.Atoi(v); err != nil || n < 0 || n > 2 {
					return errors.New("must be 0, 1 or 2")
				}
			}
			o.verbosity += n
			return nil
		},
	},
	{
		long: "log-level", arg: "LEVEL", rivals: []string{"verbose"},
		help: "what to say on stderr: error, warn, info, debug; wins over -v [warn]",
		set: func(o *options, v string) error {
			if _, ok := logLevel(v); !ok {
				return errors.New("must be error, warn, info or debug")
			}
			o.logLevel = v
			return nil
		},
	},
	{
		long: "log-format", arg: "FORMAT", help: "text or json [text]",
		set: func(o *options, v string) error {
			if v != "text" && v != "json" {
				return errors.New("must be text or json")
			}
			o.logFormat = v
			return nil
		},
	},
	{
		long: "timeline", arg: "REPORT", noEnv: true, help: "draw a report as text, - for one on stdin, and exit",
		set: func(o *options, v string) error {
			o.timeline = v
			if v == "" {
				return errors.New("empty")
			}
			return nil
		},
	},
	{
		long: "inspect", noEnv: true,
		help: "run nothing: say why processes have not ended, all or the tree of one: finite --inspect " +
			"[PID]; -v: more of each",
		set: func(o *options, v string) error {
			o.inspect.on = true
			if v == "" {
				return nil
			}
			return o.inspect.setPID(v)
		},
	},
	{
		long:  "json",
		noEnv: true,
		help:  "say it as JSON",
		turn:  func(o *options, b bool) { o.inspect.json = b },
	},
	{
		long:  "version",
		noEnv: true,
		help:  "print the version and exit",
		turn:  func(o *options, b bool) { o.version = b },
	},
	{
		long:  "help",
		short: 'h',
		noEnv: true,
		help:  "print this text and exit",
		turn:  func(o *options, b bool) { o.help = b },
	},
}
