//go:build amd64

package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// violations are what is wrong.
type violations []string

func (v *violations) add(format string, args ...any) { *v = append(*v, fmt.Sprintf(format, args...)) }

// check holds what was seen of a case against the contract.
func (c *oneCase) check(s *seen) error {
	var v violations
	c.checkStatus(s, &v)
	c.checkStderr(s, &v)
	if limit := c.limit(); s.Took > limit {
		v.add("ended after %v, and should have after %v", s.Took.Round(time.Millisecond), limit)
	}
	if s.Hung != "" {
		v.add("never ended")
	}
	if s.Stuck {
		v.add("not continued at the deadline")
	}
	if len(s.Left) > 0 && !c.mayLeave() && !c.loses() {
		v.add("left: %+v", s.Left)
	}
	if len(s.Ghosts) > 0 && !c.loses() {
		v.add("never gone: %+v", s.Ghosts)
	}
	if len(v) > 0 {
		return fmt.Errorf("%s", strings.Join(v, "; "))
	}
	return nil
}

// limit is how long the run of a case may take. Nobody survives SIGKILL here, so the time to give
// up counts only where a process hangs: that is found out at the latest time, when those that wait
// for it have asked it and waited for an answer.
func (c *oneCase) limit() time.Duration {
	limit := timeout + grace + margin
	switch c.fault {
	case faultHang:
		limit += giveUp + harassed
	case faultStop:
		limit += stopped
	case faultDelay:
		limit += delayTime
	}
	return testkit.Stretched(limit)
}

// mayLeave reports whether somebody may be left when finite has ended: where finite itself was
// killed, they have time to go.
func (c *oneCase) mayLeave() bool { return c.fault == faultKill && c.isMain() }

// loses reports whether orphans may be out of reach: the keeper alone is refused to be a subreaper,
// so they become children of the front. The report names that.
func (c *oneCase) loses() bool {
	return c.kind == asKeeper && c.call.name == "prctl" && errnoNamed(c.fault) != 0
}

// isMain reports whether the fault is one of the process that the caller waits for.
func (c *oneCase) isMain() bool { return c.kind == c.setting.mainKind() }

// statuses are those that are right.
func (c *oneCase) statuses(s *seen) []int {
	right := []int{c.setting.status}
	if !s.Hit {
		return right
	}
	if c.fault == faultKill {
		switch {
		case c.isMain():
			return []int{-9}
		case c.kind == asKeeper:
			return append(right, 125) // the right one, where the front was told it
		case c.kind == asChild:
			return []int{128 + 9}
		case c.kind == asPlanner:
			return append(right, 125)
		}
	}
	if s.Started {
		return right
	}
	if c.kind == asChild {
		right = append(right, 126, 127)
	}
	return append(right, 125)
}

func (c *oneCase) checkStatus(s *seen, v *violations) {
	if want := c.statuses(s); !slices.Contains(want, s.Status) {
		v.add("status %d, want one of %v", s.Status, want)
	}
	own := s.Status >= 125 && s.Status <= 127
	switch n := strings.Count(s.Stderr, "\n"); {
	case own && n == 0:
		v.add("status %d, and nothing on stderr", s.Status)
	case own && !s.Started && n != 1:
		v.add("refused with %d lines on stderr", n)
	case !own && !s.Started && c.fault != faultKill && !c.setting.hasDeadline():
		v.add("the command has not started, and the status is %d", s.Status)
	}
}

// ofRuntime are texts that a Go runtime writes when it ends of itself.
var ofRuntime = []string{"goroutine ", "panic:", "fatal error", "runtime:", "SIGSEGV", "[signal ", "internal error"}

// checkStderr: stderr has lines of finite's and no others.
func (c *oneCase) checkStderr(s *seen, v *violations) {
	for _, text := range ofRuntime {
		if strings.Contains(s.Stderr, text) {
			v.add("the Go runtime on stderr: %q", text)
		}
	}
	for line := range strings.Lines(s.Stderr) {
		if !strings.HasPrefix(line, "finite: ") || !strings.HasSuffix(line, "\n") {
			v.add("a line on stderr that is none of finite's: %q", line)
			return
		}
	}
}

// The check finds what is wrong.
func TestCheck(t *testing.T) {
	good := seen{Status: 124, Took: time.Second, Hit: true, Started: true, Stderr: "finite: it was late\n"}
	refused := seen{Status: 125, Hit: true, Stderr: "finite: it is refused\n"}
	for name, test := range map[string]struct {
		key    string
		seen   seen
		change func(*seen)
		want   string
	}{
		"right":           {seen: good},
		"refused":         {seen: refused},
		"status":          {seen: good, change: func(s *seen) { s.Status = 0 }, want: "status 0"},
		"refused late":    {seen: refused, change: func(s *seen) { s.Started = true }, want: "status 125"},
		"refused silent":  {seen: refused, change: func(s *seen) { s.Stderr = "" }, want: "nothing on stderr"},
		"refused at once": {seen: refused, change: func(s *seen) { s.Stderr += s.Stderr }, want: "2 lines"},
		"late":            {seen: good, change: func(s *seen) { s.Took = time.Hour }, want: "ended after"},
		"hung":            {seen: good, change: func(s *seen) { s.Hung = "all of them" }, want: "never ended"},
		"left":            {seen: good, change: func(s *seen) { s.Left = make([]testkit.Process, 1) }, want: "left"},
		"panic":           {seen: good, change: func(s *seen) { s.Stderr = "finite: panic: no\n" }, want: "Go runtime"},
		"another line":    {seen: good, change: func(s *seen) { s.Stderr = "ouch\n" }, want: "none of finite's"},
		"half a line":     {seen: good, change: func(s *seen) { s.Stderr = "finite: ou" }, want: "none of finite's"},
		"killed front": {
			key: "subreaper/deadline/front/ppoll/1/SIGKILL", seen: good, want: "status 124",
		},
		"killed front leaves": {
			key: "subreaper/deadline/front/ppoll/1/SIGKILL", seen: seen{Status: -9, Hit: true, Ghosts: make([]testkit.Process, 1)},
			want: "never gone",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if test.key == "" {
				test.key = "subreaper/deadline/keeper/ppoll/1/EINTR"
			}
			c, err := parseCase(test.key)
			if err != nil {
				t.Fatal(err)
			}
			if test.change != nil {
				test.change(&test.seen)
			}
			err = c.check(&test.seen)
			if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
