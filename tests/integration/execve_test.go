package integration

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// A descendant is stuck in execve(2): that closes a file whose file system does not answer. Files
// of /proc that need the descendant's credentials wait for it, and SIGKILL does not end it. All
// others end, none is left stopped, and the run ends and names the descendant.
func TestStuckInExecve(t *testing.T) {
	needCommand(t, "perl")
	const stuck = `perl -e '$| = 1; open F, "<", $ARGV[0]; print "open\n"; 1 until -e "$ARGV[0].go"; ` +
		`exec qw(sleep 1000)' "$0"`
	tree := `(` + stuck + `; :) & sleep 1001 & setsid sleep 1002 & (sleep 1003; :) & `
	for name, tt := range map[string]struct {
		options []string
		end     string
		status  string
		signal  unix.Signal
	}{
		"deadline":          {[]string{"-t", stretch("3s"), "--cgroup", "off"}, "wait", "124", 0},
		"deadline, cgroup":  {[]string{"-t", stretch("3s"), "--cgroup", "auto"}, "wait", "124", 0},
		"leftovers":         {[]string{"--cgroup", "off"}, `until [ -e "$0.end" ]; do sleep 0.1; done; exit 3`, "3", 0},
		"namespace":         {[]string{"-t", stretch("3s"), "--unshare", "pid,mount"}, "wait", "124", 0},
		"forward to a tree": {[]string{"-t", stretch("3s"), "--cgroup", "off", "--forward", "all"}, "wait", "124", unix.SIGHUP},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			args := append([]string{strconv.Itoa(testkit.FuseFlush), file, finiteBin}, tt.options...)
			args = append(args, "-v", "-k", stretch("200ms"), "--give-up", stretch("1s"), "--",
				"sh", "-c", `trap "" HUP; `+tree+tt.end, file)
			r := startBeside(t, "served", args...)
			r.out.await(t, "open")
			_, _ = io.WriteString(r.in, "\n")
			r.out.await(t, "mute\n")
			of := below(r.Process.Pid)
			write(t, file+".go")
			eventually(t, "the process waits", func() bool {
				for _, pid := range withComm("perl", of) {
					return !strings.HasPrefix(statusField(pid, "State"), "R")
				}
				return false
			})
			if tt.signal != 0 {
				must(unix.Kill(children(r.Process.Pid)[0], tt.signal))
			}
			write(t, file+".end")
			r.out.await(t, "ended with "+tt.status+"\n")
			r.err.await(t, "is left: stuck in execve(2)")
			// Not by /proc/PID/stat, which hangs.
			for _, pid := range withComm("sleep", below(r.Process.Pid)) {
				if state := statusField(pid, "State"); !strings.HasPrefix(state, "Z") {
					t.Errorf("left: %d %s\n%s", pid, state, r.err)
				}
			}
		})
	}
}

// below lists who descends from a process.
func below(pid int) []int {
	of := children(pid)
	for i := 0; i < len(of); i++ {
		of = append(of, children(of[i])...)
	}
	return of
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
