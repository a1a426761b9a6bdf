package pid1

import (
	"errors"
	"fmt"
	"strings"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// policy fills the defaults in. Where the context has a deadline, contextEnds is true. The error is
// about the first field that is out of range.
func (c *Config) policy(role nsutil.Role, contextEnds bool) (ending.Policy, error) {
	p := ending.Policy{
		Pause: c.Pause, StopSignal: c.StopSignal, StopDelay: c.StopDelay, GiveUp: c.GiveUp,
		Leftovers: c.Leftovers, Forward: c.Forward, Rewrite: c.Rewrite,
		TimeoutExit: max(c.TimeoutExit, 0), PreserveStatus: c.PreserveStatus,
		Expect: c.Expect, StopExit: c.StopExit,
	}
	if c.TimeoutExit == 0 {
		p.TimeoutExit = ending.DefaultTimeoutExit
	}
	if c.GiveUp == 0 {
		p.GiveUp = ending.DefaultGiveUp
	}
	if len(c.Escalate) == 0 {
		if err := p.SetPlain(c.Grace, c.StopGrace, c.Snapshot); err != nil {
			return p, err
		}
	} else if err := c.escalation(&p, contextEnds); err != nil {
		return p, &UsageError{Field: "Escalate", Value: c.Escalate, Why: err.Error()}
	}
	return p, c.check(&p, role)
}

// maxHostname is __NEW_UTS_LEN.
const maxHostname = 64

func (c *Config) check(p *ending.Policy, role nsutil.Role) error {
	bad := func(field string, value any, why string) error {
		return &UsageError{Field: field, Value: value, Why: why}
	}
	switch {
	case len(c.Args) == 0 && !c.Pause:
		return bad("Args", "[]", "no command")
	case len(c.Args) > 0 && c.Pause:
		return bad("Pause", "", "no command can be given with it")
	case c.Pause && (c.Unshare != 0 || len(c.Join) > 0):
		return bad("Pause", "", "there is no command that could be in namespaces")
	case c.Pause && c.pauseIgnores() != "":
		return bad("Pause", "", "has no use for "+c.pauseIgnores())
	case p.StopSignal < 1 || p.StopSignal > signals.RTMax:
		return bad("StopSignal", int(c.StopSignal), "not a signal")
	case p.GiveUp != ending.Never && p.GiveUp < MinGiveUp:
		return bad("GiveUp", c.GiveUp, "must be at least "+MinGiveUp.String())
	case c.TimeoutExit < TimeoutExitZero || c.TimeoutExit > 255:
		return bad("TimeoutExit", c.TimeoutExit, "must be within 1-255, or TimeoutExitZero")
	case c.Timeout < 0:
		return bad("Timeout", c.Timeout, "must not be negative")
	case c.StopDelay < 0:
		return bad("StopDelay", c.StopDelay, "must not be negative")
	case c.Leftovers > ending.LeftoversLeave:
		return bad("Leftovers", int(c.Leftovers), "not a policy")
	case c.Leftovers == ending.LeftoversLeave && role == nsutil.RoleInit:
		return bad(
			"Leftovers",
			c.Leftovers,
			"as PID 1 nothing can be left: the kernel kills the PID namespace with it",
		)
	case c.Forward > ending.ForwardAll:
		return bad("Forward", int(c.Forward), "not a target")
	case c.Hostname != "" && !c.Unshare.Has(nsutil.UTSNamespace):
		return bad("Hostname", c.Hostname, "needs a UTS namespace of the command's own (Config.Unshare uts)")
	case len(c.Hostname) > maxHostname || strings.IndexByte(c.Hostname, 0) >= 0:
		return bad("Hostname", c.Hostname, "must be at most 64 bytes")
	case c.MapRoot && !c.Unshare.Has(nsutil.UserNamespace):
		return bad("MapRoot", "", "needs a user namespace of the command's own (Config.Unshare user)")
	case c.Cgroup > ending.CgroupRequire:
		return bad("Cgroup", int(c.Cgroup), "not a mode")
	case c.ParentDeath < 0 || c.ParentDeath > signals.RTMax:
		return bad("ParentDeath", int(c.ParentDeath), "not a signal")
	}
	return nil
}

// pauseIgnores names a field that is about a command, or is empty.
func (c *Config) pauseIgnores() string {
	switch {
	case c.StopDelay > 0:
		return "Config.StopDelay"
	case c.StopGrace != 0 && c.StopGrace != ending.Never:
		return "Config.StopGrace: its clock is Config.Grace"
	case c.PreserveStatus:
		return "Config.PreserveStatus"
	case len(c.Expect) > 0:
		return "Config.Expect"
	case len(c.StopExit) > 0:
		return "Config.StopExit"
	case c.Forward != ending.ForwardChild:
		return "Config.Forward"
	}
	return ""
}

// enforces reports whether there is an ending to enforce.
func (c *Config) enforces(p *ending.Policy) bool {
	return c.Timeout != 0 || !c.Deadline.IsZero() || len(p.Requested) > 0 || len(c.Lifeline) > 0 ||
		len(c.Join) > 0
}

// escalation makes the ladders of Escalate.
func (c *Config) escalation(p *ending.Policy, contextEnds bool) error {
	if err := c.Escalate.Check(); err != nil {
		return err
	}
	if c.StopSignal != 0 || c.Grace != 0 || c.StopGrace != 0 {
		return errors.New(
			"replaces Config.StopSignal, Config.Grace and Config.StopGrace, which cannot be given with it",
		)
	}
	p.SetLadder(c.Escalate, c.Snapshot)
	if len(p.Early) == 0 {
		return nil
	}
	switch first := p.Early[0]; {
	case c.Timeout == 0 && c.Deadline.IsZero() && !contextEnds:
		return fmt.Errorf("%v is before a deadline, and there is none (Config.Timeout, Config.Deadline)", first)
	case c.Timeout > 0 && -first.After >= c.Timeout:
		return fmt.Errorf("%v is before the start: the timeout is %v", first, c.Timeout)
	case c.Pause && p.Early.Signal() != 0:
		return fmt.Errorf("%v: before the deadline there is nobody to be sent a signal (Config.Pause)", first)
	}
	return nil
}
