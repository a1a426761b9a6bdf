package integration

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A record is on a file system that does not answer. The command is not started, and finite ends by
// itself, or by a stop signal.
func TestRecordThatCannotBeOpened(t *testing.T) {
	for option, prefix := range map[string][]string{
		"--report": nil, "--events": nil, "--state-file": nil, "--report ": {"--unshare", "pid,mount"},
	} {
		for name, tt := range map[string]struct {
			signal unix.Signal
			status string
			said   string
		}{
			"signal":   {unix.SIGTERM, "143", "finite: stop requested by SIGTERM"},
			"patience": {0, "125", "finite: the supervisor cannot run\n"},
		} {
			t.Run(option+" "+name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				args := append([]string{finiteBin, strings.TrimSpace(option), filepath.Join(dir, "stuck")}, prefix...)
				args = append(args, "-t", "1h", "--", "echo", "it ran")
				r := startStuck(t, dir, args...)
				eventually(t, "somebody hangs", func() bool {
					for _, pid := range below(r.Process.Pid) {
						if stateOf(pid) == 'D' {
							return true
						}
					}
					return false
				})
				if tt.signal != 0 {
					must(unix.Kill(children(r.Process.Pid)[0], tt.signal))
				}
				r.out.await(t, "ended with "+tt.status+"\n")
				if strings.Contains(r.out.String(), "it ran") {
					t.Error("the command was started")
				}
				r.err.await(t, tt.said)
			})
		}
	}
}

// As PID 1 finite cannot end before the kernel lets its supervisor go. What it has to say is said.
func TestRecordThatCannotBeOpenedByInit(t *testing.T) {
	dir := t.TempDir()
	r := startStuck(t, dir, "unshare", "-pf", "--mount-proc", "--kill-child", finiteBin,
		"--report", filepath.Join(dir, "stuck"), "--", "echo", "it ran")
	init := 0
	eventually(t, "somebody hangs", func() bool {
		of := below(r.Process.Pid)
		for _, pid := range withComm("finite", of) {
			init = pid
		}
		return slices.ContainsFunc(of, func(pid int) bool { return stateOf(pid) == 'D' })
	})
	must(unix.Kill(init, unix.SIGTERM))
	r.err.await(t, "finite: stop requested by SIGTERM")
}
