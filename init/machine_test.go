package pid1

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// The command's PID in the tests of the machine.
const testPID = 7

func (a action) String() string {
	switch a.kind {
	case actForward:
		if a.signal.Passed {
			return "passed " + signals.Name(a.signal.Number)
		}
		return fmt.Sprintf("forward %s %v", signals.Name(a.signal.Number), a.target)
	case actSend:
		return fmt.Sprintf("send %s %v", signals.Name(a.sig), a.target)
	case actTerminate:
		return "terminate " + signals.Name(a.sig)
	case actArm:
		return fmt.Sprintf("arm %v %v", a.timer, a.length)
	case actDisarm:
		return fmt.Sprintf("disarm %v", a.timer)
	}
	return a.kind.String()
}

// said renders what the machine wants done, without what it only says.
func said(actions []action) string {
	var b []string
	for _, a := range actions {
		if a.kind != actTransition && a.kind != actNote {
			b = append(b, a.String())
		}
	}
	return strings.Join(b, "; ")
}

func newMachine(cfg *Config, role nsutil.Role) *machine {
	m := new(machine)
	m.init(cfg, role)
	return m
}

func testConfig(change func(*Config)) *Config {
	cfg := Config{Args: []string{"job"}}
	if change != nil {
		change(&cfg)
	}
	if err := cfg.setDefaults(nsutil.RoleSubreaper); err != nil {
		panic(err)
	}
	return &cfg
}

// Events, in the short.
func sig(s unix.Signal) event { return event{kind: evSignal, signal: signals.Signal{Number: s}} }

func terminalSig(s unix.Signal) event {
	return event{kind: evSignal, signal: signals.Signal{Number: s, Sender: signals.Sender{Known: true, Kernel: true}}}
}

func passed(s unix.Signal) event {
	return event{kind: evSignal, signal: signals.Signal{Number: s, Passed: true}}
}
func timer(id timerID) event    { return event{kind: evTimer, timer: id} }
func just(kind eventKind) event { return event{kind: kind} }
func exit(status int) event {
	return event{kind: evExited, change: reap.Change{PID: testPID, Code: reap.CodeExited, Status: status}}
}

func killed(s unix.Signal) event {
	return event{kind: evExited, change: reap.Change{PID: testPID, Code: reap.CodeKilled, Status: int(s)}}
}

func stopped(s unix.Signal) event {
	return event{kind: evStopped, change: reap.Change{PID: testPID, Code: reap.CodeStopped, Status: int(s)}}
}

func orphan(code reap.Code, status int) event {
	ev := event{kind: evReaped, count: 1}
	if code == reap.CodeKilled && status == int(unix.SIGKILL) {
		ev.killed = 1
	}
	return ev
}

var (
	cloning   = just(evCloning)
	started   = event{kind: evStarted, pid: testPID}
	continued = event{kind: evStopped, change: reap.Change{PID: testPID, Code: reap.CodeContinued}}
	deadline  = just(evDeadline)
	cancelled = just(evCancel)
	remaining = just(evRemaining)
	empty     = just(evEmpty)
)

// step is an event, what the machine is to do about it, and the state that it is in then.
type step struct {
	event event
	want  string
	state state
}

func TestMachine(t *testing.T) {
	tests := []struct {
		name   string
		cfg    func(*Config)
		role   nsutil.Role
		steps  []step
		kind   Kind
		status int
		check  func(*testing.T, *machine)
	}{
		{
			name: "the command exits and leaves nothing",
			steps: []step{
				{cloning, "", stateStarting}, {started, "", stateRunning}, {exit(3), "arm settle 1s", stateLeftovers}, {empty, "end", stateEnded},
			},
			kind: KindExited, status: 3,
		},
		{
			name: "a signal ends the command",
			steps: []step{
				{cloning, "", stateStarting}, {started, "", stateRunning}, {killed(unix.SIGSEGV), "arm settle 1s", stateLeftovers}, {empty, "end", stateEnded},
			},
			kind: KindSignaled, status: 128 + 11,
		},
		{
			name:  "the start fails",
			steps: []step{{cloning, "", stateStarting}, {event{kind: evStartFailed, step: StepExec, err: unix.EACCES}, "end", stateEnded}},
			kind:  KindStartFailed, status: 126,
		},
		{
			name:  "there is no such command",
			steps: []step{{cloning, "", stateStarting}, {event{kind: evStartFailed, step: StepLookup, err: unix.ENOENT}, "end", stateEnded}},
			kind:  KindStartFailed, status: 127,
		},
		{
			name:  "no process can be made",
			steps: []step{{cloning, "", stateStarting}, {event{kind: evStartFailed, step: StepClone, err: unix.EAGAIN}, "end", stateEnded}},
			kind:  KindStartFailed, status: 125,
		},
		{
			name:  "a stop before the start begins starts nothing",
			steps: []step{{sig(unix.SIGTERM), "end", stateEnded}},
			kind:  KindStopRequested, status: 143,
		},
		{
			name:  "a stop that is dropped by a rule is none",
			cfg:   func(c *Config) { _ = c.Rewrite.ParseRule("TERM:0") },
			steps: []step{{sig(unix.SIGTERM), "", stateStarting}, {cloning, "", stateStarting}, {started, "", stateRunning}, {sig(unix.SIGTERM), "", stateRunning}, {exit(0), "arm settle 1s", stateLeftovers}, {empty, "end", stateEnded}},
			kind:  KindExited,
		},
		{
			name:  "a deadline before the start begins starts nothing",
			steps: []step{{deadline, "end", stateEnded}},
			kind:  KindDeadline, status: 124,
		},
		{
			name: "signals that come during the start wait for the command, in order",
			steps: []step{
				{cloning, "", stateStarting},
				{sig(unix.SIGUSR1), "", stateStarting},
				{sig(unix.SIGTERM), "arm start 5s", stateStarting},
				{sig(unix.SIGUSR2), "", stateStarting},
				{started, "disarm start; forward SIGUSR1 child; forward SIGTERM child; forward SIGUSR2 child", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 143,
		},
		{
			name: "a start that hangs is ended",
			steps: []step{
				{cloning, "", stateStarting},
				{sig(unix.SIGTERM), "arm start 5s", stateStarting},
				{timer(timerStart), "kill-tree; arm give-up 5s", stateKilling},
				{event{kind: evStartFailed, step: StepExec, err: unix.EIO}, "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 143,
		},
		{
			name: "a command that starts after it was given up on is killed",
			steps: []step{
				{cloning, "", stateStarting},
				{deadline, "arm start 5s", stateStarting},
				{timer(timerStart), "kill-tree; arm give-up 5s", stateKilling},
				{started, "send SIGKILL child", stateKilling},
				{killed(unix.SIGKILL), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "a signal is passed on, and rewritten",
			cfg:  func(c *Config) { _ = c.Rewrite.ParseRule("USR1:RTMIN+3"); c.Forward = ForwardGroup },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGUSR1), "forward SIGRTMIN+3 group", stateRunning},
				{sig(unix.SIGWINCH), "forward SIGWINCH group", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind:  KindExited,
			check: func(t *testing.T, m *machine) { wantCount(t, "forwarded", m.counts.Forwarded, 2) },
		},
		{
			name: "a requested stop has no clock by default",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", stateStopping},
				{sig(unix.SIGINT), "forward SIGINT child", stateStopping},
				{exit(9), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 9,
		},
		{
			name: "a requested stop with a clock is enforced",
			cfg:  func(c *Config) { c.StopGrace = time.Minute },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child; arm grace 1m0s", stateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child", stateStopping},
				{timer(timerGrace), "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{killed(unix.SIGKILL), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 137,
		},
		{
			name: "SIGHUP without a clock is a plain signal",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited,
		},
		{
			name: "a deadline that the command obeys",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{deadline, "send SIGTERM child; arm grace 5s", stateStopping},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "a deadline that the command ignores",
			cfg:  func(c *Config) { c.PreserveStatus = true },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{deadline, "send SIGTERM child; arm grace 5s", stateStopping},
				{timer(timerGrace), "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{orphan(reap.CodeKilled, 9), "", stateKilling},
				{killed(unix.SIGKILL), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 137,
			check: func(t *testing.T, m *machine) { wantCount(t, "killed leftovers", m.counts.LeftoversKilled, 1) },
		},
		{
			name: "a deadline without grace",
			cfg:  func(c *Config) { c.Grace = Off },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{deadline, "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{killed(unix.SIGKILL), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "a deadline that falls into the command's own exit",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{event{kind: evDeadline, gone: true}, "arm grace 5s", stateStopping},
				{exit(4), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 4,
		},
		{
			name: "a deadline during a stop without a clock starts the clock",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", stateStopping},
				{deadline, "send SIGTERM child; arm grace 5s", stateStopping},
				{timer(timerGrace), "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{killed(unix.SIGKILL), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "a deadline during a stop with a long clock brings the kill forward",
			cfg:  func(c *Config) { c.StopGrace = time.Hour },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm grace 1h0m0s", stateStopping},
				{deadline, "arm deadline-grace 5s", stateStopping},
				{timer(timerDeadline), "disarm grace; send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{killed(unix.SIGKILL), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 137,
		},
		{
			name: "a cancelled context is a stop with a clock",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{cancelled, "send SIGTERM child; arm grace 5s", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 143,
		},
		{
			name: "a pause goes on without children, and ends with what is there at a stop signal",
			cfg:  func(c *Config) { c.Args, c.Pause = nil, true },
			role: nsutil.RoleInit,
			steps: []step{
				{just(evPaused), "", stateRunning},
				{empty, "", stateRunning},
				{event{kind: evReaped, count: 2}, "", stateRunning},
				{remaining, "", stateRunning},
				{sig(unix.SIGUSR1), "", stateRunning},
				{sig(unix.SIGTERM), "terminate SIGTERM; arm grace 5s; look", stateLeftovers},
				{empty, "probe", stateLeftovers},
				{event{kind: evNamespace}, "arm probe 50ms", stateLeftovers},
				{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
				{empty, "probe", stateKilling},
				{event{kind: evNamespace, empty: true}, "end", stateEnded},
			},
			kind: KindStopRequested, status: 0,
		},
		{
			name: "the deadline of a pause",
			cfg:  func(c *Config) { c.Args, c.Pause, c.Leftovers = nil, true, LeftoversKill },
			steps: []step{
				{just(evPaused), "", stateRunning},
				{deadline, "kill-tree; arm give-up 5s; look", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "a lifeline that hangs up is a stop with a clock",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{just(evLifeline), "send SIGTERM child; arm grace 5s", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindLifeline, status: 143,
		},
		{
			name: "a stopped command is continued after the stop signal",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{stopped(unix.SIGSTOP), "", stateRunning},
				{deadline, "send SIGTERM child; send SIGCONT group; arm grace 5s", stateStopping},
				{continued, "", stateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", stateStopping},
				{timer(timerGrace), "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{stopped(unix.SIGSTOP), "", stateKilling},
				{sig(unix.SIGTERM), "", stateKilling}, // no SIGCONT: the kill has stopped it
				{killed(unix.SIGKILL), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "a command that stops itself after the stop signal is continued, four times",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", stateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", stateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", stateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", stateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", stateStopping},
				{stopped(unix.SIGSTOP), "", stateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child; send SIGCONT group", stateStopping},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested,
		},
		{
			name: "the terminal stops a command that has survived its SIGINT",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{terminalSig(unix.SIGINT), "forward SIGINT child", stateStopping},
				{stopped(unix.SIGTSTP), "suspend", stateStopping},
				{continued, "", stateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child", stateStopping},
				{stopped(unix.SIGTSTP), "send SIGCONT group", stateStopping},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested,
		},
		{
			name: "the terminal stops the command",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{stopped(unix.SIGTSTP), "suspend", stateRunning},
				{sig(unix.SIGCONT), "foreground; forward SIGCONT group", stateRunning},
				{continued, "", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited,
		},
		{
			name: "leftovers are terminated",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(5), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; arm grace 5s", stateLeftovers},
				{orphan(reap.CodeExited, 0), "", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 5,
			check: func(t *testing.T, m *machine) { wantCount(t, "terminated leftovers", m.counts.LeftoversTerminated, 1) },
		},
		{
			name: "leftovers that ignore that are killed",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(5), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; arm grace 5s", stateLeftovers},
				{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
				{orphan(reap.CodeKilled, 9), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 5,
		},
		{
			name: "leftovers have what is left of the grace time after a deadline",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{deadline, "send SIGTERM child; arm grace 5s", stateStopping},
				{exit(0), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM", stateLeftovers},
				{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "leftovers are killed by policy",
			cfg:  func(c *Config) { c.Leftovers = LeftoversKill },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle; kill-tree; arm give-up 5s", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindExited,
		},
		{
			name:  "leftovers are left by policy",
			cfg:   func(c *Config) { c.Leftovers = LeftoversLeave },
			steps: []step{{cloning, "", stateStarting}, {started, "", stateRunning}, {exit(2), "arm settle 1s", stateLeftovers}, {remaining, "disarm settle; end", stateEnded}},
			kind:  KindExited, status: 2,
		},
		{
			name: "leftovers are waited for by policy",
			cfg:  func(c *Config) { c.Leftovers = LeftoversWait },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(2), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle", stateLeftovers},
				{orphan(reap.CodeExited, 0), "", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 2,
		},
		{
			name: "leftovers that are waited for end at the deadline, which is not the command's",
			cfg:  func(c *Config) { c.Leftovers = LeftoversWait },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(2), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle", stateLeftovers},
				{deadline, "terminate SIGTERM; arm grace 5s", stateLeftovers},
				{deadline, "", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 2,
		},
		{
			name: "a deadline between the command's end and the word that others are left",
			cfg:  func(c *Config) { c.Leftovers = LeftoversWait },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(2), "arm settle 1s", stateLeftovers},
				{deadline, "", stateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; arm grace 5s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 2,
		},
		{
			name: "a stop while leftovers are waited for terminates them and is not sent to the command",
			cfg:  func(c *Config) { c.Leftovers = LeftoversWait },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(2), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle", stateLeftovers},
				{sig(unix.SIGUSR1), "", stateLeftovers},
				{sig(unix.SIGTERM), "terminate SIGTERM; arm grace 5s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 2,
			check: func(t *testing.T, m *machine) { wantCount(t, "undelivered", m.counts.Undelivered, 2) },
		},
		{
			name: "leftovers that nobody tells of are dealt with all the same",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{orphan(reap.CodeExited, 0), "", stateLeftovers},
				{timer(timerSettle), "terminate SIGTERM; arm grace 5s", stateLeftovers},
				{timer(timerGrace), "kill-tree; arm give-up 5s", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindExited,
		},
		{
			name: "a deadline brings the kill of leftovers forward",
			cfg:  func(c *Config) { c.StopGrace = time.Hour },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm grace 1h0m0s", stateStopping},
				{exit(0), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM", stateLeftovers},
				{deadline, "arm deadline-grace 5s", stateLeftovers},
				{timer(timerDeadline), "disarm grace; kill-tree; arm give-up 5s", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested,
		},
		{
			name: "and does so too if it comes before the word of leftovers",
			cfg:  func(c *Config) { c.StopGrace = time.Hour },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm grace 1h0m0s", stateStopping},
				{exit(0), "arm settle 1s", stateLeftovers},
				{deadline, "", stateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; arm deadline-grace 5s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested,
		},
		{
			name: "a rule makes a signal a stop, or not",
			cfg:  func(c *Config) { _ = c.Rewrite.ParseRule("HUP:TERM") },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGHUP), "forward SIGTERM child", stateStopping},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested,
		},
		{
			name: "PID 1 asks whether others came in from outside, and waits for them",
			role: nsutil.RoleInit,
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "probe", stateLeftovers},
				{event{kind: evNamespace}, "disarm settle; terminate SIGTERM; arm grace 5s; arm probe 50ms", stateLeftovers},
				{timer(timerProbe), "look", stateLeftovers},
				{empty, "probe", stateLeftovers},
				{event{kind: evNamespace, empty: true}, "end", stateEnded},
			},
			kind: KindExited,
		},
		{
			name: "what cannot be killed is given up and named",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{deadline, "send SIGTERM child; arm grace 5s", stateStopping},
				{timer(timerGrace), "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", stateSurvey},
				{event{kind: evSurvivors, survivors: []inspect.Survivor{{PID: testPID, State: 'D'}}}, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
			check: func(t *testing.T, m *machine) {
				if len(m.survivors) != 1 || !m.gaveUp {
					t.Errorf("survivors = %v, gave up = %v", m.survivors, m.gaveUp)
				}
			},
		},
		{
			name: "a survey that does not come does not hold up the end",
			cfg:  func(c *Config) { c.PreserveStatus = true },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{deadline, "send SIGTERM child; arm grace 5s", stateStopping},
				{timer(timerGrace), "send SIGKILL child; kill-tree; arm give-up 5s", stateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", stateSurvey},
				{timer(timerSurvey), "end", stateEnded},
			},
			kind: KindDeadline, status: 137,
		},
		{
			name: "without a give-up time there is none",
			cfg:  func(c *Config) { c.GiveUp = Off; c.Leftovers = LeftoversKill },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{remaining, "disarm settle; kill-tree", stateKilling},
				{timer(timerGiveUp), "", stateKilling},
				{empty, "end", stateEnded},
			},
			kind: KindExited,
		},
		{
			name: "a stop signal is held back, and passed on when its time is over",
			cfg:  func(c *Config) { c.StopDelay = 10 * time.Second; c.StopGrace = time.Second },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", stateRunning},
				{sig(unix.SIGUSR1), "forward SIGUSR1 child", stateRunning},
				{timer(timerStopDelay), "forward SIGTERM child; arm grace 1s", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 143,
			check: func(t *testing.T, m *machine) { wantCount(t, "undelivered", m.counts.Undelivered, 0) },
		},
		{
			name: "a second stop signal ends the wait, and is the one that is passed on",
			cfg:  func(c *Config) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", stateRunning},
				{sig(unix.SIGINT), "disarm stop-delay; forward SIGINT child", stateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child", stateStopping},
				{killed(unix.SIGINT), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 130,
			check: func(t *testing.T, m *machine) { wantCount(t, "undelivered", m.counts.Undelivered, 1) },
		},
		{
			name: "the deadline overtakes a stop signal that is held back",
			cfg:  func(c *Config) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", stateRunning},
				{deadline, "disarm stop-delay; send SIGTERM child; arm grace 5s", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindDeadline, status: 124,
		},
		{
			name: "the command ends by itself while a stop signal is held back",
			cfg:  func(c *Config) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", stateRunning},
				{exit(3), "disarm stop-delay; arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited, status: 3,
		},
		{
			name: "SIGHUP without a clock is not held back",
			cfg:  func(c *Config) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited,
		},
		{
			name: "a signal that the source has passed on is not sent again, and begins a stop all the same",
			cfg:  func(c *Config) { c.StopGrace = time.Second },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{passed(unix.SIGUSR1), "passed SIGUSR1", stateRunning},
				{passed(unix.SIGTERM), "passed SIGTERM; arm grace 1s", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 143,
			check: func(t *testing.T, m *machine) { wantCount(t, "forwarded", m.counts.Forwarded, 2) },
		},
		{
			name: "a stop signal that was ignored at the start is a plain signal, before the command and after",
			cfg: func(c *Config) {
				c.StopGrace = time.Second
				c.ignored = signals.SetOf(unix.SIGHUP, unix.SIGINT)
			},
			steps: []step{
				{sig(unix.SIGINT), "", stateStarting},
				{cloning, "", stateStarting},
				{started, "forward SIGINT child", stateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm grace 1s", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 143,
		},
		{
			name:  "SIGKILL for a parent that is gone, before there is a command",
			steps: []step{{sig(unix.SIGKILL), "end", stateEnded}},
			kind:  KindStopRequested, status: 137,
		},
		{
			name: "an expected status is reported as 0",
			cfg:  func(c *Config) { c.Expect = []int{3, 143} },
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", stateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindStopRequested, status: 0,
		},
		{
			name: "a status that another wait took away",
			steps: []step{
				{cloning, "", stateStarting}, {started, "", stateRunning}, {empty, "end", stateEnded},
			},
			kind: KindExited, status: 125,
		},
		{
			name: "an internal trouble changes nothing",
			steps: []step{
				{cloning, "", stateStarting},
				{started, "", stateRunning},
				{event{kind: evTrouble, err: errors.New("x")}, "", stateRunning},
				{exit(0), "arm settle 1s", stateLeftovers},
				{empty, "end", stateEnded},
			},
			kind: KindExited,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(tt.cfg)
			m := newMachine(cfg, tt.role)
			for i, s := range tt.steps {
				got := said(m.handle(s.event))
				if got != s.want || m.state != s.state {
					t.Fatalf("step %d, %v: got %q and state %v, want %q and state %v", i, s.event.kind, got, m.state, s.want, s.state)
				}
			}
			if m.state != stateEnded || m.cause.Kind != tt.kind {
				t.Errorf("ended in state %v, cause %v; want cause %v", m.state, m.cause.Kind, tt.kind)
			}
			if got := exitStatus(cfg, m.cause, m.pid != 0); got != tt.status {
				t.Errorf("exit status %d, want %d", got, tt.status)
			}
			if tt.check != nil {
				tt.check(t, m)
			}
		})
	}
}

func wantCount(t *testing.T, what string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s = %d, want %d", what, got, want)
	}
}

// An event for a process that is unknown, or that has ended, used to be somebody's
// panic.
func TestUnknownEventsAreCounted(t *testing.T) {
	m := newMachine(testConfig(nil), nsutil.RoleSubreaper)
	strange := []event{
		{kind: evExited, change: reap.Change{PID: 4711, Code: reap.CodeExited}},
		{kind: evStopped, change: reap.Change{PID: 4711, Code: reap.CodeStopped, Status: 19}},
		{kind: evSurvivors},
		{kind: evNone},
		{kind: eventKind(200)},
	}
	m.handle(cloning)
	m.handle(started)
	for _, ev := range strange {
		if got := said(m.handle(ev)); got != "" {
			t.Errorf("%v: %q, want nothing", ev.kind, got)
		}
	}
	m.handle(started)                                      // twice
	m.handle(event{kind: evStartFailed, err: unix.ENOENT}) // after it was started
	wantCount(t, "unexpected", m.counts.Unexpected, len(strange)+2)
	m.handle(exit(0))
	m.handle(exit(1)) // the command ends twice
	wantCount(t, "unexpected", m.counts.Unexpected, len(strange)+3)
	if m.cause.ExitCode != 0 || m.state != stateLeftovers {
		t.Errorf("the second end counted: %+v in %v", m.cause, m.state)
	}
	m.handle(empty)
	m.handle(exit(2))
	m.handle(timer(timerGrace))
	m.handle(sig(unix.SIGTERM))
	wantCount(t, "unexpected", m.counts.Unexpected, len(strange)+6)
}

// What the source may pass on by itself is what the machine would pass on as it is.
func TestPassable(t *testing.T) {
	all := ^signals.Set(0)
	for name, tt := range map[string]struct {
		cfg  func(*Config)
		want signals.Set
	}{
		"everything but SIGCONT": {want: all &^ signals.SetOf(unix.SIGCONT)},
		"not what is rewritten or dropped": {
			cfg: func(c *Config) {
				for _, rule := range []string{"TERM:QUIT", "HUP:0", "USR1:USR1"} {
					if err := c.Rewrite.ParseRule(rule); err != nil {
						panic(err)
					}
				}
			},
			want: all &^ signals.SetOf(unix.SIGCONT, unix.SIGTERM, unix.SIGHUP),
		},
		"not what may be held back": {
			cfg:  func(c *Config) { c.StopDelay = time.Second },
			want: all &^ signals.SetOf(unix.SIGCONT, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT),
		},
		"a whole tree takes a walk": {cfg: func(c *Config) { c.Forward = ForwardAll }},
	} {
		got := newMachine(testConfig(tt.cfg), nsutil.RoleSubreaper).passable()
		if got != tt.want {
			t.Errorf("%s: %#x, want %#x", name, got, tt.want)
		}
	}
}

// "stopping" is true exactly from the event that began it, and every transition is
// said once, with its cause.
func TestTransitionsAreSaidOnceWithTheirCause(t *testing.T) {
	m := newMachine(testConfig(nil), nsutil.RoleSubreaper)
	var seen []string
	for _, ev := range []event{
		cloning, started, sig(unix.SIGUSR1), sig(unix.SIGTERM), sig(unix.SIGTERM), deadline, timer(timerGrace), killed(unix.SIGKILL), empty,
	} {
		before := m.state
		transitions := 0
		for _, a := range m.handle(ev) {
			if a.kind != actTransition {
				continue
			}
			transitions++
			if a.from != before || a.to != m.state || a.why == "" {
				t.Errorf("%v: transition from %v to %v (%q), but the state went from %v to %v", ev.kind, a.from, a.to, a.why, before, m.state)
			}
			seen = append(seen, a.to.String())
		}
		if moved := m.state != before; moved != (transitions == 1) {
			t.Errorf("%v: from %v to %v with %d transitions said", ev.kind, before, m.state, transitions)
		}
	}
	if got := strings.Join(seen, " "); got != "running stopping killing ended" {
		t.Errorf("transitions: %s", got)
	}
}
