package main

import (
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	pid1 "github.com/finite-init/finite/init"
	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/nsutil"
)

func TestParseOptions(t *testing.T) {
	tests := []struct {
		name string
		args string // separated by blanks
		env  []string
		want func(*options)
		cmd  string
	}{
		{name: "a command alone", args: "server -v", cmd: "server -v"},
		{name: "after --", args: "-- -server --help", cmd: "-server --help"},
		{
			name: "options end at the command",
			args: "-v server -v",
			cmd:  "server -v",
			want: func(o *options) { o.verbosity = 1 },
		},
		{name: "options end at --", args: "-v -- -v", cmd: "-v", want: func(o *options) { o.verbosity = 1 }},
		{
			name: "bundled",
			args: "-gvv x",
			cmd:  "x",
			want: func(o *options) { o.verbosity, o.group, o.config.Forward = 2, true, ending.ForwardGroup },
		},
		{
			name: "value with =",
			args: "--timeout=1m30s x",
			cmd:  "x",
			want: func(o *options) { o.config.Timeout = 90 * time.Second },
		},
		{
			name: "value apart",
			args: "--timeout 1m30s x",
			cmd:  "x",
			want: func(o *options) { o.config.Timeout = 90 * time.Second },
		},
		{
			name: "short value",
			args: "-t90 -k 2d x",
			cmd:  "x",
			want: func(o *options) { o.config.Timeout, o.config.Grace = 90*time.Second, 48*time.Hour },
		},
		{name: "no grace", args: "-k 0 x", cmd: "x", want: func(o *options) { o.config.Grace = ending.AtOnce }},
		{
			name: "no grace for a stop",
			args: "--stop-grace 0 x",
			cmd:  "x",
			want: func(o *options) { o.config.StopGrace = ending.AtOnce },
		},
		{
			name: "off",
			args: "--stop-grace off --give-up off x",
			cmd:  "x",
			want: func(o *options) { o.config.StopGrace, o.config.GiveUp = ending.Never, ending.Never },
		},
		{
			name: "repeated",
			args: "-e 1 -e 2 --rewrite TERM:QUIT --rewrite HUP:0 x",
			cmd:  "x",
			want: func(o *options) {
				o.config.Expect = []int{1, 2}
				_ = o.config.Rewrite.ParseRule("TERM:QUIT")
				_ = o.config.Rewrite.ParseRule("HUP:0")
			},
		},
		{
			name: "timeout exit 0",
			args: "--timeout-exit 0 x",
			cmd:  "x",
			want: func(o *options) { o.config.TimeoutExit = pid1.TimeoutExitZero },
		},
		{
			name: "everything else", args: "--deadline 2026-01-31T18:30:00Z --stop-signal rtmin+3 --leftovers wait --preserve-status -p HUP --forward all --log-level debug --log-format json " +
				"--unshare user,net --join 12:uts --join /ns --hostname h --map-root --cgroup require --lifeline " +
				"stdin --stop-exit 143 x",
			cmd: "x",
			want: func(o *options) {
				o.config.Deadline = time.Date(2026, 1, 31, 18, 30, 0, 0, time.UTC)
				o.config.StopSignal, o.config.Leftovers, o.config.PreserveStatus = 37, ending.LeftoversWait, true
				o.config.ParentDeath, o.config.Forward, o.forwarded = unix.SIGHUP, ending.ForwardAll, true
				o.config.Unshare, o.config.Join = nsutil.UserNamespace|nsutil.NetworkNamespace, []string{"12:uts", "/ns"}
				o.config.Hostname, o.config.MapRoot, o.config.Cgroup = "h", true, ending.CgroupRequire
				o.config.Lifeline, o.config.StopExit = []int{0}, []int{143}
				o.logLevel, o.logFormat = "debug", "json"
			},
		},
		{
			name: "environment", args: "x", cmd: "x",
			env: []string{
				"FINITE_TIMEOUT=5", "FINITE_EXPECT=1, 2", "FINITE_REWRITE=TERM:QUIT,HUP:0",
				"FINITE_PRESERVE_STATUS=1", "FINITE_VERBOSE=2",
				"FINITE_GROUP=false", "FINITE_STOP_GRACE=", "FINITE_UNKNOWN=x", "FINITE_HELP=1",
			},
			want: func(o *options) {
				o.config.Timeout, o.config.Expect, o.config.PreserveStatus, o.verbosity = 5*time.Second, []int{
					1,
					2,
				}, true, 2
				_ = o.config.Rewrite.ParseRule("TERM:QUIT")
				_ = o.config.Rewrite.ParseRule("HUP:0")
			},
		},
		{
			name: "the option wins, whatever the environment says", args: "-t 7 -e 3 x", cmd: "x",
			env:  []string{"FINITE_TIMEOUT=nonsense", "FINITE_EXPECT=1,2"},
			want: func(o *options) { o.config.Timeout, o.config.Expect = 7*time.Second, []int{3} },
		},
		{
			name: "an option wins over the variable of its rival", args: "--forward child -v x", cmd: "x",
			env:  []string{"FINITE_GROUP=1", "FINITE_LOG_LEVEL=error"},
			want: func(o *options) { o.forwarded, o.verbosity = true, 1 },
		},
		{
			name: "and the other way round", args: "-g --log-level error x", cmd: "x",
			env:  []string{"FINITE_FORWARD=all", "FINITE_VERBOSE=2"},
			want: func(o *options) { o.group, o.config.Forward, o.logLevel = true, ending.ForwardGroup, "error" },
		},
		{name: "help", args: "--help", want: func(o *options) { o.help = true }},
		{
			name: "inspect",
			args: "--inspect",
			env:  []string{"FINITE_TIMEOUT=nonsense"},
			want: func(o *options) { o.inspect.on = true },
		},
		{
			name: "inspect one",
			args: "--inspect 12 --json -v",
			want: func(o *options) { o.inspect, o.verbosity = inspection{true, 12, true}, 1 },
		},
		{
			name: "inspect one, the other way round",
			args: "--json -vv --inspect=12",
			want: func(o *options) { o.inspect, o.verbosity = inspection{true, 12, true}, 2 },
		},
		{
			name: "inspect one, after --",
			args: "--inspect -- 12",
			want: func(o *options) { o.inspect = inspection{true, 12, false} },
		},
		{
			name: "not an option of its own in the environment",
			args: "x",
			cmd:  "x",
			env:  []string{"FINITE_INSPECT=1", "FINITE_JSON=1"},
		},
		{name: "a command of that name", args: "-- --inspect --json", cmd: "--inspect --json"},
		{
			name: "version, whatever the environment says",
			args: "--version -v",
			env:  []string{"FINITE_TIMEOUT=nonsense"},
			want: func(o *options) { o.version, o.verbosity = true, 1 },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := &options{logFormat: "text"}
			if tt.want != nil {
				tt.want(want)
			}
			if tt.cmd != "" {
				want.config.Args = strings.Fields(tt.cmd)
			}
			got, err := parseOptions(append([]string{"finite"}, strings.Fields(tt.args)...), tt.env)
			if err != nil {
				t.Fatal(err)
			}
			got.variables = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// What a user can type wrong gets one line that names the option and the value.
func TestParseOptionsErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		env  string
		want string
	}{
		{args: "", want: "no command given (see finite --help)"},
		{args: "-v", want: "no command given (see finite --help)"},
		{args: "--", want: "no command given (see finite --help)"},
		{args: "--foo x", want: "unknown option: --foo (see finite --help)"},
		{args: "-x", want: "unknown option: -x (see finite --help)"},
		{args: "--timeout", want: "missing parameter for --timeout (see finite --help)"},
		{args: "-t 1x x", want: "--timeout 1x: not a duration (examples: 90, 1.5s, 300ms, 1h30m, 2d)"},
		{args: "-t -1s x", want: "--timeout -1s: must not be negative"},
		{args: "-t -1 x", want: "--timeout -1: must not be negative"},
		{args: "-t 1e300 x", want: "--timeout 1e300: out of range"},
		{args: "-t 999999999999d x", want: "--timeout 999999999999d: out of range"},
		{args: "-t inf x", want: "--timeout inf: not a duration (examples: 90, 1.5s, 300ms, 1h30m, 2d)"},
		{args: "-t nan x", want: "--timeout nan: not a duration (examples: 90, 1.5s, 300ms, 1h30m, 2d)"},
		{args: "-t off x", want: "--timeout off: not a duration (examples: 90, 1.5s, 300ms, 1h30m, 2d)"},
		{args: "--timeout= x", want: "--timeout: not a duration (examples: 90, 1.5s, 300ms, 1h30m, 2d)"},
		{args: "--give-up 1ms x", want: "--give-up 1ms: must be at least 100ms"},
		{
			args: "--deadline tomorrow x",
			want: "--deadline tomorrow: not a time of the form 2026-01-31T18:30:00Z (RFC 3339)",
		},
		{args: "--stop-signal STOP x", want: "--stop-signal STOP: SIGSTOP ends nothing"},
		{args: "--stop-signal FOO x", want: `--stop-signal FOO: unknown signal "FOO"`},
		{args: "--leftovers some x", want: "--leftovers some: must be terminate, kill, wait or leave"},
		{args: "--timeout-exit 256 x", want: "--timeout-exit 256: not an exit status (0-255)"},
		{args: "-e -1 x", want: "--expect -1: not an exit status (0-255)"},
		{args: "-p 99 x", want: `--parent-death 99: signal number "99" is not within 1-64`},
		{args: "--forward some x", want: "--forward some: must be child, group or all"},
		{args: "-g --forward all x", want: "--group: contradicts --forward all"},
		{args: "--rewrite TERM x", want: `--rewrite TERM: "TERM" is not of the form SIGNAL:SIGNAL`},
		{
			args: "--rewrite KILL:TERM x",
			want: "--rewrite KILL:TERM: SIGKILL cannot be rewritten: it is never forwarded",
		},
		{
			args: "--unshare pid,disk x",
			want: `--unshare pid,disk: unknown namespace "disk"; must be pid, mount, uts, ipc, net, user, cgroup, time or all`,
		},
		{args: "--join 0 x", want: "--join 0: not a PID"},
		{
			args: "--join 12:disk x",
			want: `--join 12:disk: unknown namespace "disk"; must be pid, mount, uts, ipc, net, user, cgroup, time or all`,
		},
		{args: "--cgroup yes x", want: "--cgroup yes: must be auto, off or require"},
		{
			args: "--lifeline 0 x",
			want: "--lifeline 0: must be stdin, parent, or fd:N with the number of a descriptor",
		},
		{
			args: "--lifeline fd:1000000 x",
			want: "--lifeline fd:1000000: finite was started without that descriptor",
		},
		{args: "--stop-exit 256 x", want: "--stop-exit 256: not an exit status (0-255)"},
		{args: "--log-level loud x", want: "--log-level loud: must be error, warn, info or debug"},
		{args: "--log-format xml x", want: "--log-format xml: must be text or json"},
		{args: "--inspect x", want: "--inspect x: not a PID"},
		{args: "--inspect=x", want: "--inspect x: not a PID"},
		{args: "--inspect 0", want: "--inspect 0: not a PID"},
		{args: "--inspect 4294967296", want: "--inspect 4294967296: not a PID"},
		{args: "--inspect 1 2", want: "--inspect 2: one PID at most, and 1 is given already"},
		{args: "--inspect=1 2", want: "--inspect 2: one PID at most, and 1 is given already"},
		{args: "--inspect 1 --timeout", want: "--inspect --timeout: not a PID"},
		{args: "--inspect sleep 5", want: "--inspect sleep: not a PID"},
		{args: "-t 5 --inspect 1", want: "--timeout: makes no sense with --inspect"},
		{args: "--inspect --pause", want: "--pause: makes no sense with --inspect"},
		{args: "--json x", want: "--json: only with --inspect"},
		{args: "--json", want: "--json: only with --inspect"},
		{
			args: "x", env: "FINITE_TIMEOUT=abc",
			want: "FINITE_TIMEOUT=abc: not a duration (examples: 90, 1.5s, 300ms, 1h30m, 2d)",
		},
		{args: "x", env: "FINITE_GROUP=maybe", want: "FINITE_GROUP=maybe: must be 1, 0, true or false"},
		{args: "x", env: "FINITE_VERBOSE=3", want: "FINITE_VERBOSE=3: must be 0, 1 or 2"},
		{args: "x", env: "FINITE_EXPECT=1,,2", want: "FINITE_EXPECT=1,,2: empty value"},
	} {
		t.Run(tt.args+tt.env, func(t *testing.T) {
			_, err := parseOptions(append([]string{"finite"}, strings.Fields(tt.args)...), []string{tt.env})
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestWithoutOptions(t *testing.T) {
	got := withoutOptions(
		[]string{"PATH=/bin", "FINITE_TIMEOUT=5", "FINITE_OTHER=1", "FINITE_HELP=1", "FINITE_STOP_GRACE=", "odd"},
	)
	if want := []string{"PATH=/bin", "FINITE_OTHER=1", "FINITE_HELP=1", "odd"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Every option is in the help text, with its default where there is one.
func TestHelpNamesEveryOption(t *testing.T) {
	text := helpText()
	for i := range optionTable {
		if !strings.Contains(text, "--"+optionTable[i].long) {
			t.Errorf("--%s is not in the help text", optionTable[i].long)
		}
	}
}

// The binary's import graph stays lean: what every image inherits is size, start-up, and other
// people's advisories.
func TestImportGraph(t *testing.T) {
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Fatal("the go command is needed to list imports")
	}
	for _, arch := range []string{"amd64", "arm64"} {
		cmd := exec.Command(goCommand, "list", "-deps", ".")
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		banned := regexp.MustCompile(
			`^(net(/.*)?|crypto(/.*)?|text/template(/.*)?|html/template|regexp(/.*)?|os/exec|plugin)$`,
		)
		for pkg := range strings.FieldsSeq(string(out)) {
			if banned.MatchString(pkg) {
				t.Errorf("%s: the binary imports %s", arch, pkg)
			}
		}
	}
}

// What the library calls Config.Name is an option to whoever types.
func TestUsageErrorsNameOptions(t *testing.T) {
	notOptions := []string{"Args", "Env", "Dir", "ParentPID", "Source", "Log"}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[pid1.Config]()) {
		named := slices.ContainsFunc(optionTable[:], func(o option) bool { return o.field == field.Name })
		if named == slices.Contains(notOptions, field.Name) {
			t.Errorf("%s: an option is named for it: %v", field.Name, named)
		}
	}
	for _, tt := range []struct {
		usage pid1.UsageError
		want  string
	}{
		{
			pid1.UsageError{Field: "StopGrace", Value: -3, Why: "not Config.Stop, but Config.StopGrace and Config.Stops"},
			"--stop-grace -3: not Config.Stop, but --stop-grace and Config.Stops",
		},
		{
			pid1.UsageError{Field: "Pause", Value: "", Why: "has no use for Config.StopGrace: its clock is Config.Grace"},
			"--pause: has no use for --stop-grace: its clock is --grace",
		},
		{pid1.UsageError{Field: "Args", Value: "[]", Why: "no command"}, "Args []: no command"},
	} {
		if got := new(options).describe(&tt.usage).Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
