package pid1

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// Where a PID namespace is made, or others are joined, there are two of this program. The outer one stays where it is, passes signals on, and waits. The
// inner one is PID 1 of the new namespace, or a subreaper among the joined ones, and supervises the command as it would anywhere. Both are given the same
// arguments; the environment tells the inner one that it is the inner one.

// InnerVariable is the name of the variable in the environment by which the outer one tells the inner one what it cannot see for itself: the signal mask
// that the outer one was started with, in hexadecimal, since the inner one is started with all signals blocked; the descriptor of the pipe by which it says
// that its command was stopped, which it cannot follow itself as PID 1; and, where it has to watch that by itself, the descriptor of a pidfd of the outer
// one.
const InnerVariable = "FINITE_INNER"

// backstopMargin is how long after the inner one should have ended by itself the outer one ends it.
const backstopMargin = time.Second

// NeedsInner reports whether the command needs an inner one.
func (c *Config) NeedsInner() bool {
	return len(c.Join) > 0 || c.Unshare.Has(nsutil.PIDNamespace)
}

// Outer returns the Config of the outer one, where c is that of the inner one and args and env are this program's own. Its deadline is a backstop: it is
// over when the inner one should have ended long ago. It is the outer one that makes the cgroup, so that the tree can be killed whatever becomes of the inner one.
func (c *Config) Outer(args, env []string) Config {
	outer := Config{
		Args: args, Env: env, Self: true, Unshare: c.Unshare, Join: c.Join, Hostname: c.Hostname, MapRoot: c.MapRoot,
		Grace: Off, GiveUp: c.GiveUp, TimeoutExit: c.TimeoutExit, Cgroup: c.Cgroup, rules: c.Rewrite != signals.Rewrite{},
		ParentDeath: c.ParentDeath, ParentPID: c.ParentPID, Source: c.Source, Log: c.Log,
	}
	if c.Leftovers == LeftoversLeave {
		outer.Leftovers = LeftoversLeave
	}
	if len(c.Join) == 0 && !strings.HasPrefix(c.Report, "fd:") { // those are the inner one's alone
		outer.Report = c.Report
	}
	grace, stopGrace, giveUp := c.Grace, c.StopGrace, c.GiveUp
	if len(c.Escalate) > 0 && c.Escalate.check() == nil { // if it is not right, the inner one says so
		grace = max(c.Escalate.killAfter(), 1)
		if later := c.Escalate.from(1); len(later) > 0 {
			stopGrace = later.killAfter()
		}
	}
	if grace == 0 {
		grace = DefaultGrace
	}
	if giveUp == 0 {
		giveUp = DefaultGiveUp
	}
	if giveUp == Off {
		return outer // it may wait for ever
	}
	if c.dumps() {
		giveUp += 2 * dumpLimit
	}
	after := func(d time.Duration) time.Duration { return max(d, d+max(grace, 0)+giveUp+backstopMargin) } // d, if that overflows
	if c.Timeout > 0 {
		outer.Timeout = after(c.Timeout)
	}
	if !c.Deadline.IsZero() {
		outer.Deadline = c.Deadline.Add(after(0))
	}
	if stopGrace > 0 && c.Rewrite == (signals.Rewrite{}) { // with rules, what is a stop here need not be one there
		outer.StopGrace = c.StopDelay + after(stopGrace) - max(grace, 0)
	}
	return outer
}

var errOuterGone = errors.New("the outer finite has ended")

// innerWord is what the inner one says by the pipe: what, and a status.
type innerWord [2]byte

// What the inner one says.
const (
	innerStopped = iota // its command was stopped by the terminal
	innerEnds           // it ends with this status. As PID 1 it may be a long time until the outer one can reap it.
)

// tellOuter says something to the outer one, if there is one. A pipe that is full has enough of it.
func (c *Config) tellOuter(word innerWord) {
	if c.stops > 0 {
		_, _ = unix.Write(c.stops, word[:])
	}
}

// announce adds to env what the inner one has to be told.
func (b *box) announce(env []string, cfg *Config) []string {
	value := strconv.FormatUint(uint64(cfg.inherited.Mask), 16) + ":" + strconv.Itoa(b.stops[1])
	if b.self >= 0 {
		value += ":" + strconv.Itoa(b.self)
	}
	return append(env[:len(env):len(env)], InnerVariable+"="+value)
}

// beInner takes over what the outer one has told. The context that it returns ends with the outer one, if that does not see to it otherwise.
func (c *Config) beInner(ctx context.Context) (context.Context, func(), error) {
	mask, rest, _ := strings.Cut(c.Inner, ":")
	stops, number, watched := strings.Cut(rest, ":")
	bad := func(why string) (context.Context, func(), error) {
		return nil, nil, &UsageError{"Inner", c.Inner, why}
	}
	bits, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		return bad("is set by finite itself, for itself")
	}
	c.inherited.Mask = signals.Set(bits)
	if c.stops, err = strconv.Atoi(stops); err != nil || c.stops <= unix.Stderr {
		return bad("is set by finite itself, for itself")
	}
	unix.CloseOnExec(c.stops)
	c.Cgroup = CgroupOff // it is in the one that the outer one has made
	if !watched {
		return ctx, func() {}, nil
	}
	fd, err := strconv.Atoi(number)
	if err != nil || unix.SetNonblock(fd, true) != nil {
		return bad("is set by finite itself, for itself")
	}
	unix.CloseOnExec(fd)
	outer, err := sys.NewFile(fd, "pidfd")
	if err != nil {
		return nil, nil, fmt.Errorf("pidfd: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if outer.Wait() == nil {
			cancel(errOuterGone)
		}
	}()
	return ctx, func() { outer.Close(); cancel(nil) }, nil
}
