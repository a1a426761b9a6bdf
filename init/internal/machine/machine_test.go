package machine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/init/ending"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/nsutil/inspect"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// The command's PID in the tests of the machine.
const testPID = 7

func (a Action) String() string {
	switch a.Kind {
	case ActForward:
		if a.Signal.Passed {
			return "passed " + signals.Name(a.Signal.Number)
		}
		return fmt.Sprintf("forward %s %v", signals.Name(a.Signal.Number), a.Target)
	case ActSend:
		return fmt.Sprintf("send %s %v", signals.Name(a.Sig), a.Target)
	case ActTerminate:
		return "terminate " + signals.Name(a.Sig)
	case ActArm:
		return fmt.Sprintf("arm %v %v", a.Timer, a.Length)
	case ActDisarm:
		return fmt.Sprintf("disarm %v", a.Timer)
	}
	return a.Kind.String()
}

// said renders what the machine wants done, without what it only says.
func said(actions []Action) string {
	var b []string
	for _, a := range actions {
		if a.Kind != ActTransition && a.Kind != ActNote && a.Kind != ActStop && a.Kind != ActRung {
			b = append(b, a.String())
		}
	}
	return strings.Join(b, "; ")
}

// terms are what a test says of a run.
type terms struct {
	ending.Policy
	Grace, StopGrace time.Duration
	Escalate         ending.Ladder
	Snapshot         bool
	ignored          signals.Set
	hasCgroup        bool
}

// clocked is a machine whose timers are over when they are due.
type clocked struct {
	*Machine
	at  time.Duration
	due map[TimerID]time.Duration
}

func (c *clocked) Handle(ev Event) []Action {
	if due, armed := c.due[ev.Timer]; armed && ev.Kind == EvTimer {
		c.at = max(c.at, due)
		delete(c.due, ev.Timer)
	}
	ev.At = c.at
	actions := c.Machine.Handle(ev)
	for _, a := range actions {
		switch a.Kind {
		case ActArm:
			c.due[a.Timer] = c.at + a.Length
		case ActDisarm:
			delete(c.due, a.Timer)
		}
	}
	return actions
}

func newMachine(c *terms, role nsutil.Role) *clocked {
	m := &clocked{Machine: new(Machine), due: map[TimerID]time.Duration{}}
	m.Init(Setup{Policy: &c.Policy, Role: role, Command: "job", Ignored: c.ignored, HasCgroup: c.hasCgroup})
	return m
}

func testTerms(change func(*terms)) *terms {
	c := terms{Policy: ending.Policy{GiveUp: ending.DefaultGiveUp, TimeoutExit: ending.DefaultTimeoutExit}}
	if change != nil {
		change(&c)
	}
	if c.GiveUp == 0 {
		c.GiveUp = ending.DefaultGiveUp
	}
	if len(c.Escalate) > 0 {
		c.SetLadder(c.Escalate, c.Snapshot)
	} else if err := c.SetPlain(c.Grace, c.StopGrace, c.Snapshot); err != nil {
		panic(err)
	}
	return &c
}

func mustParseLadder(s string) ending.Ladder {
	l, err := ending.ParseLadder(s, time.ParseDuration)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return l
}

// Events, in the short.
func sig(s unix.Signal) Event { return Event{Kind: EvSignal, Signal: signals.Signal{Number: s}} }

func terminalSig(s unix.Signal) Event {
	return Event{
		Kind:   EvSignal,
		Signal: signals.Signal{Number: s, Sender: signals.Sender{Known: true, Kernel: true}},
	}
}

func passed(s unix.Signal) Event {
	return Event{Kind: EvSignal, Signal: signals.Signal{Number: s, Passed: true}}
}
func timer(id TimerID) Event    { return Event{Kind: EvTimer, Timer: id} }
func just(kind eventKind) Event { return Event{Kind: kind} }
func exit(status int) Event {
	return Event{Kind: EvExited, Change: reap.Change{PID: testPID, Code: reap.CodeExited, Status: status}}
}

func killed(s unix.Signal) Event {
	return Event{Kind: EvExited, Change: reap.Change{PID: testPID, Code: reap.CodeKilled, Status: int(s)}}
}

func stopped(s unix.Signal) Event {
	return Event{Kind: EvStopped, Change: reap.Change{PID: testPID, Code: reap.CodeStopped, Status: int(s)}}
}

func orphan(code reap.Code, status int) Event {
	ev := Event{Kind: EvReaped, Count: 1}
	if code == reap.CodeKilled && status == int(unix.SIGKILL) {
		ev.Killed = 1
	}
	return ev
}

var (
	cloning   = just(EvCloning)
	started   = Event{Kind: EvStarted, Pid: testPID}
	continued = Event{Kind: EvStopped, Change: reap.Change{PID: testPID, Code: reap.CodeContinued}}
	deadline  = just(EvDeadline)
	cancelled = just(EvCancel)
	remaining = just(EvRemaining)
	empty     = just(EvEmpty)
)

// step is an event, what the machine is to do about it, and the state that it is in then.
type step struct {
	Event Event
	want  string
	state ending.State
}

func TestMachine(t *testing.T) {
	tests := []struct {
		name   string
		cfg    func(*terms)
		role   nsutil.Role
		steps  []step
		kind   ending.Kind
		status int
		check  func(*testing.T, *Machine)
	}{
		{
			name: "the command exits and leaves nothing",
			steps: []step{
				{
					cloning,
					"",
					ending.StateStarting,
				},
				{started, "", ending.StateRunning},
				{exit(3), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 3,
		},
		{
			name: "a signal ends the command",
			steps: []step{
				{
					cloning,
					"",
					ending.StateStarting,
				},
				{started, "", ending.StateRunning},
				{killed(unix.SIGSEGV), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindSignaled, status: 128 + 11,
		},
		{
			name: "the start fails",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{Event{Kind: EvStartFailed, Step: ending.StepExec, Err: unix.EACCES}, "end", ending.StateEnded},
			},
			kind: ending.KindStartFailed, status: 126,
		},
		{
			name: "there is no such command",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{Event{Kind: EvStartFailed, Step: ending.StepLookup, Err: unix.ENOENT}, "end", ending.StateEnded},
			},
			kind: ending.KindStartFailed, status: 127,
		},
		{
			name: "no process can be made",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{Event{Kind: EvStartFailed, Step: ending.StepClone, Err: unix.EAGAIN}, "end", ending.StateEnded},
			},
			kind: ending.KindStartFailed, status: 125,
		},
		{
			name:  "a stop before the start begins starts nothing",
			steps: []step{{sig(unix.SIGTERM), "end", ending.StateEnded}},
			kind:  ending.KindStopRequested, status: 143,
		},
		{
			name: "a stop that is dropped by a rule is none",
			cfg:  func(c *terms) { _ = c.Rewrite.ParseRule("TERM:0") },
			steps: []step{
				{sig(unix.SIGTERM), "", ending.StateStarting},
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name:  "a deadline before the start begins starts nothing",
			steps: []step{{deadline, "end", ending.StateEnded}},
			kind:  ending.KindDeadline, status: 124,
		},
		{
			name: "signals that come during the start wait for the command, in order",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{sig(unix.SIGUSR1), "", ending.StateStarting},
				{sig(unix.SIGTERM), "arm start 5s", ending.StateStarting},
				{sig(unix.SIGUSR2), "", ending.StateStarting},
				{
					started,
					"disarm start; forward SIGUSR1 child; forward SIGTERM child; forward SIGUSR2 child",
					ending.StateStopping,
				},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 143,
		},
		{
			name: "a start that hangs is ended",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{sig(unix.SIGTERM), "arm start 5s", ending.StateStarting},
				{timer(timerStart), "kill-tree; arm give-up 5s", ending.StateKilling},
				{Event{Kind: EvStartFailed, Step: ending.StepExec, Err: unix.EIO}, "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 143,
		},
		{
			name: "a command that starts after it was given up on is killed",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{deadline, "arm start 5s", ending.StateStarting},
				{timer(timerStart), "kill-tree; arm give-up 5s", ending.StateKilling},
				{started, "send SIGKILL child", ending.StateKilling},
				{killed(unix.SIGKILL), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "a signal is passed on, and rewritten",
			cfg:  func(c *terms) { _ = c.Rewrite.ParseRule("USR1:RTMIN+3"); c.Forward = ending.ForwardGroup },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGUSR1), "forward SIGRTMIN+3 group", ending.StateRunning},
				{sig(unix.SIGWINCH), "forward SIGWINCH group", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind:  ending.KindExited,
			check: func(t *testing.T, m *Machine) { wantCount(t, "forwarded", m.counts.Forwarded, 2) },
		},
		{
			name: "a requested stop has no clock by default",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", ending.StateStopping},
				{sig(unix.SIGINT), "forward SIGINT child", ending.StateStopping},
				{exit(9), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 9,
		},
		{
			name: "a requested stop with a clock is enforced",
			cfg:  func(c *terms) { c.StopGrace = time.Minute },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child; arm ladder 1m0s", ending.StateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{killed(unix.SIGKILL), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 137,
		},
		{
			name: "SIGHUP without a clock is a plain signal",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name: "a deadline that the command obeys",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{deadline, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "a deadline that the command ignores",
			cfg:  func(c *terms) { c.PreserveStatus = true },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{deadline, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{orphan(reap.CodeKilled, 9), "", ending.StateKilling},
				{killed(unix.SIGKILL), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 137,
			check: func(t *testing.T, m *Machine) { wantCount(t, "killed leftovers", m.counts.LeftoversKilled, 1) },
		},
		{
			name: "a deadline without grace",
			cfg:  func(c *terms) { c.Grace = ending.AtOnce },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{deadline, "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{killed(unix.SIGKILL), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "a deadline that falls into the command's own exit",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{Event{Kind: EvDeadline, Gone: true}, "arm ladder 5s", ending.StateStopping},
				{exit(4), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 4,
		},
		{
			name: "a deadline during a stop without a clock starts the clock",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", ending.StateStopping},
				{deadline, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{killed(unix.SIGKILL), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "a deadline during a stop with a long clock brings the kill forward",
			cfg:  func(c *terms) { c.StopGrace = time.Hour },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm ladder 1h0m0s", ending.StateStopping},
				{deadline, "disarm ladder; arm ladder 5s", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{killed(unix.SIGKILL), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 137,
		},
		{
			name: "a cancelled context is a stop with a clock",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{cancelled, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 143,
		},
		{
			name: "a pause goes on without children, and ends with what is there at a stop signal",
			cfg:  func(c *terms) { c.Pause = true },
			role: nsutil.RoleInit,
			steps: []step{
				{just(EvPaused), "", ending.StateRunning},
				{empty, "", ending.StateRunning},
				{Event{Kind: EvReaped, Count: 2}, "", ending.StateRunning},
				{remaining, "", ending.StateRunning},
				{sig(unix.SIGUSR1), "", ending.StateRunning},
				{sig(unix.SIGTERM), "terminate SIGTERM; arm ladder 5s; look", ending.StateLeftovers},
				{empty, "probe", ending.StateLeftovers},
				{Event{Kind: EvNamespace}, "arm probe 50ms", ending.StateLeftovers},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{empty, "probe", ending.StateKilling},
				{Event{Kind: EvNamespace, Empty: true}, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 0,
		},
		{
			name: "the deadline of a pause",
			cfg:  func(c *terms) { c.Pause, c.Leftovers = true, ending.LeftoversKill },
			steps: []step{
				{just(EvPaused), "", ending.StateRunning},
				{deadline, "kill-tree; arm give-up 5s; look", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "a lifeline that hangs up is a stop with a clock",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{just(EvLifeline), "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindLifeline, status: 143,
		},
		{
			name: "a stopped command is continued after the stop signal",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{stopped(unix.SIGSTOP), "", ending.StateRunning},
				{deadline, "send SIGTERM child; send SIGCONT group; arm ladder 5s", ending.StateStopping},
				{continued, "", ending.StateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{stopped(unix.SIGSTOP), "", ending.StateKilling},
				{sig(unix.SIGTERM), "", ending.StateKilling}, // no SIGCONT: the kill has stopped it
				{killed(unix.SIGKILL), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "a command that stops itself after the stop signal is continued, four times at once, then every second",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", ending.StateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", ending.StateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", ending.StateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", ending.StateStopping},
				{stopped(unix.SIGSTOP), "send SIGCONT group", ending.StateStopping},
				{stopped(unix.SIGSTOP), "arm continue 1s", ending.StateStopping},
				{timer(timerContinue), "send SIGCONT group", ending.StateStopping},
				{continued, "", ending.StateStopping},
				{stopped(unix.SIGSTOP), "arm continue 1s", ending.StateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child; send SIGCONT group", ending.StateStopping},
				{continued, "", ending.StateStopping},
				{timer(timerContinue), "", ending.StateStopping}, // it runs
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested,
		},
		{
			name: "the terminal stops a command that has survived its SIGINT",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{terminalSig(unix.SIGINT), "forward SIGINT child", ending.StateStopping},
				{stopped(unix.SIGTSTP), "suspend", ending.StateStopping},
				{continued, "", ending.StateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child", ending.StateStopping},
				{stopped(unix.SIGTSTP), "send SIGCONT group", ending.StateStopping},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested,
		},
		{
			name: "the terminal stops the command",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{stopped(unix.SIGTSTP), "suspend", ending.StateRunning},
				{sig(unix.SIGCONT), "foreground; forward SIGCONT group", ending.StateRunning},
				{continued, "", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name: "leftovers are terminated",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(5), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; arm ladder 5s", ending.StateLeftovers},
				{orphan(reap.CodeExited, 0), "", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 5,
			check: func(t *testing.T, m *Machine) {
				wantCount(t, "terminated leftovers", m.counts.LeftoversTerminated, 1)
			},
		},
		{
			name: "leftovers that ignore that are killed",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(5), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; arm ladder 5s", ending.StateLeftovers},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{orphan(reap.CodeKilled, 9), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 5,
		},
		{
			name: "leftovers have what is left of the grace time after a deadline",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{deadline, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM", ending.StateLeftovers},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "leftovers are killed by policy",
			cfg:  func(c *terms) { c.Leftovers = ending.LeftoversKill },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle; kill-tree; arm give-up 5s", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name: "leftovers are left by policy",
			cfg:  func(c *terms) { c.Leftovers = ending.LeftoversLeave },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(2), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle; end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 2,
		},
		{
			name: "leftovers are waited for by policy",
			cfg:  func(c *terms) { c.Leftovers = ending.LeftoversWait },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(2), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle", ending.StateLeftovers},
				{orphan(reap.CodeExited, 0), "", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 2,
		},
		{
			name: "leftovers that are waited for end at the deadline, which is not the command's",
			cfg:  func(c *terms) { c.Leftovers = ending.LeftoversWait },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(2), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle", ending.StateLeftovers},
				{deadline, "terminate SIGTERM; arm ladder 5s", ending.StateLeftovers},
				{deadline, "", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 2,
		},
		{
			name: "a deadline between the command's end and the word that others are left",
			cfg:  func(c *terms) { c.Leftovers = ending.LeftoversWait },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(2), "arm settle 1s", ending.StateLeftovers},
				{deadline, "", ending.StateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; arm ladder 5s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 2,
		},
		{
			name: "a stop while leftovers are waited for terminates them and is not sent to the command",
			cfg:  func(c *terms) { c.Leftovers = ending.LeftoversWait },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(2), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle", ending.StateLeftovers},
				{sig(unix.SIGUSR1), "", ending.StateLeftovers},
				{sig(unix.SIGTERM), "terminate SIGTERM; arm ladder 5s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 2,
			check: func(t *testing.T, m *Machine) { wantCount(t, "undelivered", m.counts.Undelivered, 2) },
		},
		{
			name: "leftovers that nobody tells of are dealt with all the same",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{orphan(reap.CodeExited, 0), "", ending.StateLeftovers},
				{timer(timerSettle), "terminate SIGTERM; arm ladder 5s", ending.StateLeftovers},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name: "a deadline brings the kill of leftovers forward",
			cfg:  func(c *terms) { c.StopGrace = time.Hour },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm ladder 1h0m0s", ending.StateStopping},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM", ending.StateLeftovers},
				{deadline, "disarm ladder; arm ladder 5s", ending.StateLeftovers},
				{timer(TimerLadder), "kill-tree; arm give-up 5s", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested,
		},
		{
			name: "and does so too if it comes before the word of leftovers",
			cfg:  func(c *terms) { c.StopGrace = time.Hour },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm ladder 1h0m0s", ending.StateStopping},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{deadline, "", ending.StateLeftovers},
				{remaining, "disarm settle; terminate SIGTERM; disarm ladder; arm ladder 5s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested,
		},
		{
			name: "a rule makes a signal a stop, or not",
			cfg:  func(c *terms) { _ = c.Rewrite.ParseRule("HUP:TERM") },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGHUP), "forward SIGTERM child", ending.StateStopping},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested,
		},
		{
			name: "PID 1 asks whether others came in from outside, and waits for them",
			role: nsutil.RoleInit,
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "probe", ending.StateLeftovers},
				{
					Event{Kind: EvNamespace},
					"disarm settle; terminate SIGTERM; arm ladder 5s; arm probe 50ms",
					ending.StateLeftovers,
				},
				{timer(timerProbe), "look", ending.StateLeftovers},
				{empty, "probe", ending.StateLeftovers},
				{Event{Kind: EvNamespace, Empty: true}, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name: "what cannot be killed is given up and named",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{deadline, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", ending.StateSurvey},
				{
					Event{Kind: EvSurvivors, Survivors: []inspect.Survivor{{PID: testPID, State: 'D'}}},
					"end",
					ending.StateEnded,
				},
			},
			kind: ending.KindDeadline, status: 124,
			check: func(t *testing.T, m *Machine) {
				if len(m.survivors) != 1 || !m.gaveUp {
					t.Errorf("survivors = %v, gave up = %v", m.survivors, m.gaveUp)
				}
			},
		},
		{
			name: "a survey that does not come does not hold up the end",
			cfg:  func(c *terms) { c.PreserveStatus = true },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{deadline, "send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{timer(TimerLadder), "send SIGKILL child; kill-tree; arm give-up 5s", ending.StateKilling},
				{timer(timerGiveUp), "survey; arm survey 1s", ending.StateSurvey},
				{timer(timerSurvey), "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 137,
		},
		{
			name: "without a give-up time there is none",
			cfg:  func(c *terms) { c.GiveUp = ending.Never; c.Leftovers = ending.LeftoversKill },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{remaining, "disarm settle; kill-tree", ending.StateKilling},
				{timer(timerGiveUp), "", ending.StateKilling},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name: "a stop signal is held back, and passed on when its time is over",
			cfg:  func(c *terms) { c.StopDelay = 10 * time.Second; c.StopGrace = time.Second },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", ending.StateRunning},
				{sig(unix.SIGUSR1), "forward SIGUSR1 child", ending.StateRunning},
				{timer(timerStopDelay), "forward SIGTERM child; arm ladder 1s", ending.StateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 143,
			check: func(t *testing.T, m *Machine) { wantCount(t, "undelivered", m.counts.Undelivered, 0) },
		},
		{
			name: "a second stop signal ends the wait, and is the one that is passed on",
			cfg:  func(c *terms) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", ending.StateRunning},
				{sig(unix.SIGINT), "disarm stop-delay; forward SIGINT child", ending.StateStopping},
				{sig(unix.SIGTERM), "forward SIGTERM child", ending.StateStopping},
				{killed(unix.SIGINT), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 130,
			check: func(t *testing.T, m *Machine) { wantCount(t, "undelivered", m.counts.Undelivered, 1) },
		},
		{
			name: "the deadline overtakes a stop signal that is held back",
			cfg:  func(c *terms) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", ending.StateRunning},
				{deadline, "disarm stop-delay; send SIGTERM child; arm ladder 5s", ending.StateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindDeadline, status: 124,
		},
		{
			name: "the command ends by itself while a stop signal is held back",
			cfg:  func(c *terms) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "arm stop-delay 10s", ending.StateRunning},
				{exit(3), "disarm stop-delay; arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 3,
		},
		{
			name: "SIGHUP without a clock is not held back",
			cfg:  func(c *terms) { c.StopDelay = 10 * time.Second },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
		{
			name: "a signal that the source has passed on is not sent again, and begins a stop all the same",
			cfg:  func(c *terms) { c.StopGrace = time.Second },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{passed(unix.SIGUSR1), "passed SIGUSR1", ending.StateRunning},
				{passed(unix.SIGTERM), "passed SIGTERM; arm ladder 1s", ending.StateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 143,
			check: func(t *testing.T, m *Machine) { wantCount(t, "forwarded", m.counts.Forwarded, 2) },
		},
		{
			name: "a stop signal that was ignored at the start is a plain signal, before the command and after",
			cfg: func(c *terms) {
				c.StopGrace = time.Second
				c.ignored = signals.SetOf(unix.SIGHUP, unix.SIGINT)
			},
			steps: []step{
				{sig(unix.SIGINT), "", ending.StateStarting},
				{cloning, "", ending.StateStarting},
				{started, "forward SIGINT child", ending.StateRunning},
				{sig(unix.SIGHUP), "forward SIGHUP child", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child; arm ladder 1s", ending.StateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 143,
		},
		{
			name:  "SIGKILL for a parent that is gone, before there is a command",
			steps: []step{{sig(unix.SIGKILL), "end", ending.StateEnded}},
			kind:  ending.KindStopRequested, status: 137,
		},
		{
			name: "an expected status is reported as 0",
			cfg:  func(c *terms) { c.Expect = []int{3, 143} },
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{sig(unix.SIGTERM), "forward SIGTERM child", ending.StateStopping},
				{killed(unix.SIGTERM), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindStopRequested, status: 0,
		},
		{
			name: "a status that another wait took away",
			steps: []step{
				{
					cloning,
					"",
					ending.StateStarting,
				}, {started, "", ending.StateRunning}, {empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited, status: 125,
		},
		{
			name: "an internal trouble changes nothing",
			steps: []step{
				{cloning, "", ending.StateStarting},
				{started, "", ending.StateRunning},
				{Event{Kind: EvTrouble, Err: errors.New("x")}, "", ending.StateRunning},
				{exit(0), "arm settle 1s", ending.StateLeftovers},
				{empty, "end", ending.StateEnded},
			},
			kind: ending.KindExited,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testTerms(tt.cfg)
			m := newMachine(cfg, tt.role)
			for i, s := range tt.steps {
				got := said(m.Handle(s.Event))
				if got != s.want || m.state != s.state {
					t.Fatalf(
						"step %d, %v: got %q and state %v, want %q and state %v",
						i,
						s.Event.Kind,
						got,
						m.state,
						s.want,
						s.state,
					)
				}
			}
			if m.state != ending.StateEnded || m.cause.Kind != tt.kind {
				t.Errorf("ended in state %v, cause %v; want cause %v", m.state, m.cause.Kind, tt.kind)
			}
			if got := m.Policy.ExitStatus(m.cause, m.pid != 0); got != tt.status {
				t.Errorf("exit status %d, want %d", got, tt.status)
			}
			if tt.check != nil {
				tt.check(t, m.Machine)
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
	m := newMachine(testTerms(nil), nsutil.RoleSubreaper)
	strange := []Event{
		{Kind: EvExited, Change: reap.Change{PID: 4711, Code: reap.CodeExited}},
		{Kind: EvStopped, Change: reap.Change{PID: 4711, Code: reap.CodeStopped, Status: 19}},
		{Kind: EvSurvivors},
		{Kind: EvNone},
		{Kind: eventKind(200)},
	}
	m.Handle(cloning)
	m.Handle(started)
	for _, ev := range strange {
		if got := said(m.Handle(ev)); got != "" {
			t.Errorf("%v: %q, want nothing", ev.Kind, got)
		}
	}
	m.Handle(started)                                      // twice
	m.Handle(Event{Kind: EvStartFailed, Err: unix.ENOENT}) // after it was started
	wantCount(t, "unexpected", m.counts.Unexpected, len(strange)+2)
	m.Handle(exit(0))
	m.Handle(exit(1)) // the command ends twice
	wantCount(t, "unexpected", m.counts.Unexpected, len(strange)+3)
	if m.cause.ExitCode != 0 || m.state != ending.StateLeftovers {
		t.Errorf("the second end counted: %+v in %v", m.cause, m.state)
	}
	m.Handle(empty)
	m.Handle(exit(2))
	m.Handle(timer(TimerLadder))
	m.Handle(sig(unix.SIGTERM))
	wantCount(t, "unexpected", m.counts.Unexpected, len(strange)+6)
}

// What the source may pass on by itself is what the machine would pass on as it is.
func TestPassable(t *testing.T) {
	all := ^signals.Set(0)
	for name, tt := range map[string]struct {
		cfg  func(*terms)
		want signals.Set
	}{
		"everything but SIGCONT": {want: all &^ signals.SetOf(unix.SIGCONT)},
		"not what is rewritten or dropped": {
			cfg: func(c *terms) {
				for _, rule := range []string{"TERM:QUIT", "HUP:0", "USR1:USR1"} {
					if err := c.Rewrite.ParseRule(rule); err != nil {
						panic(err)
					}
				}
			},
			want: all &^ signals.SetOf(unix.SIGCONT, unix.SIGTERM, unix.SIGHUP),
		},
		"not what may be held back": {
			cfg:  func(c *terms) { c.StopDelay = time.Second },
			want: all &^ signals.SetOf(unix.SIGCONT, unix.SIGTERM, unix.SIGINT, unix.SIGQUIT),
		},
		"a whole tree takes a walk": {cfg: func(c *terms) { c.Forward = ending.ForwardAll }},
	} {
		got := newMachine(testTerms(tt.cfg), nsutil.RoleSubreaper).Rules().Set
		if got != tt.want {
			t.Errorf("%s: %#x, want %#x", name, got, tt.want)
		}
	}
}

// "stopping" is true exactly from the event that began it, and every transition is
// said once, with its cause.
func TestTransitionsAreSaidOnceWithTheirCause(t *testing.T) {
	m := newMachine(testTerms(nil), nsutil.RoleSubreaper)
	var seen []string
	for _, ev := range []Event{
		cloning, started, sig(unix.SIGUSR1), sig(unix.SIGTERM), sig(unix.SIGTERM),
		deadline, timer(TimerLadder), killed(unix.SIGKILL), empty,
	} {
		before := m.state
		transitions := 0
		for _, a := range m.Handle(ev) {
			if a.Kind != ActTransition {
				continue
			}
			transitions++
			if a.From != before || a.To != m.state || a.Why == "" {
				t.Errorf(
					"%v: transition from %v to %v (%q), but the state went from %v to %v",
					ev.Kind,
					a.From,
					a.To,
					a.Why,
					before,
					m.state,
				)
			}
			seen = append(seen, a.To.String())
		}
		if moved := m.state != before; moved != (transitions == 1) {
			t.Errorf("%v: from %v to %v with %d transitions said", ev.Kind, before, m.state, transitions)
		}
	}
	if got := strings.Join(seen, " "); got != "running stopping killing ended" {
		t.Errorf("transitions: %s", got)
	}
}
