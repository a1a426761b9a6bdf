package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// refusable is what old kernels, strict filters and other kernels than Linux do not have.
var refusable = []string{
	"pidfd_open", "pidfd_send_signal", "clone3", "CLONE_PIDFD", "P_PIDFD",
	"close_range", "subreaper", "openat2", "statx",
}

var refusals = map[string]unix.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM}

// inMemory makes a directory that no disk holds up: a report that takes too long is not waited for.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "finite-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// readWithout reads what a final report says that finite had to do without.
func readWithout(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parseReport(t, string(text)).Without
}

// Whatever is refused, each alone and all together, the deadline holds and nobody is left that
// runs, but for an orphan that finite cannot know of.
func TestDeadlineInRefusal(t *testing.T) {
	needRoot(t)
	sets := map[string][]string{"all": refusable}
	for _, one := range refusable {
		sets[one] = []string{one}
	}
	for name, set := range sets {
		for errnoName, errno := range refusals {
			t.Run(name+"/"+errnoName, func(t *testing.T) {
				atOnce(t, rootModes, func(t *testing.T, m mode) {
					file := filepath.Join(inMemory(t), "report.json")
					orphansAreLost := m == asSubreaper && slices.Contains(set, "subreaper")
					deny := &denial{What: set, Errno: uint16(errno)}
					var r result
					complete(t, 500*time.Millisecond, func(deadline string) bool {
						r = startSpec(t, cageSpec{
							Mode: m, Deny: deny, Args: endsDeafEscapee("--timeout", deadline,
								"--cgroup", "auto", "--report", file),
						}, nil).wait()
						return r.stdout != ""
					})
					if orphansAreLost { // they are killed with the cgroup of the command, but reaped by somebody else
						r.left = slices.DeleteFunc(r.left, isDying)
					}
					if orphansAreLost && slices.Contains(set, "statx") { // without which there is no cgroup
						r.left = wantOrphanAlone(t, r.left)
					}
					r.wantEnded(t)
					ended(t, file, "deadline", 124)
					without := readWithout(t, file)
					if slices.Contains(without, "subreaper") != orphansAreLost {
						t.Errorf("without %q", without)
					}
					pidfd := slices.ContainsFunc(set, func(what string) bool {
						return what == "pidfd_send_signal" || what == "CLONE_PIDFD"
					})
					if slices.Contains(without, "pidfd") != (pidfd && !slices.Equal(set, []string{"CLONE_PIDFD"})) {
						t.Errorf("without %q", without)
					}
				})
			})
		}
	}
}

// isDying reads a line of whoIsThere: whether that is a zombie, or was killed and is about to be
// one (PF_EXITING among the flags, proc_pid_stat(5)).
func isDying(stat string) bool {
	const exiting = 0x4
	_, rest, _ := strings.Cut(stat, ") ")
	fields := strings.Fields(rest)
	if len(fields) < 7 {
		return false
	}
	flags, _ := strconv.Atoi(fields[6])
	return fields[0] == "Z" || flags&exiting != 0 || strings.HasSuffix(stat, killedMark)
}

// wantOrphanAlone checks that of those who are left only one runs, who was an orphan before the
// end. It returns nobody.
func wantOrphanAlone(t *testing.T, left []string) []string {
	t.Helper()
	if len(left) != 1 || !strings.Contains(left[0], "(sleep) S 1 ") {
		t.Errorf("left behind: %v, want the orphan alone", left)
	}
	return nil
}

// Where orphans do not come to finite and the command has no cgroup, finite cannot know of them.
// The deadline holds for the command and for who descends from it; and the report says what was
// missing.
func TestDeadlineWithoutOrphans(t *testing.T) {
	needRoot(t)
	const family = `trap "" TERM; (setsid sleep 1000 &); ` +
		`sleep 1000 & sh -c "sleep 1000 & setsid sleep 1000" & echo ready; while :; do sleep 1000; done`
	for errnoName, errno := range refusals {
		t.Run(errnoName, func(t *testing.T) {
			file := filepath.Join(inMemory(t), "report.json")
			deny := &denial{What: []string{"subreaper"}, Errno: uint16(errno)}
			var r result
			complete(t, 500*time.Millisecond, func(deadline string) bool {
				args := append(append([]string{finiteBin}, shortEnding()...), "--timeout", deadline,
					"--cgroup", "off", "--report", file, "--events", file+".events", "--", "sh", "-c", family)
				r = startSpec(t, cageSpec{Mode: asSubreaper, Deny: deny, Args: args}, nil).wait()
				return r.stdout != ""
			})
			r.left = wantOrphanAlone(t, slices.DeleteFunc(r.left, isDying))
			r.wantEnded(t)
			ended(t, file, "deadline", 124)
			wantNotContinued(t, file+".events")
			if without := readWithout(t, file); !slices.Contains(without, "subreaper") {
				t.Errorf("without %q", without)
			}
		})
	}
}

// The kill of such a tree stops it first. Nothing continues the command then, whoever has asked for
// the end: a shell would start others.
func TestStopWithoutOrphans(t *testing.T) {
	needRoot(t)
	const family = `trap "" TERM; sleep 1000 & echo ready; while :; do sleep 1000; done`
	for range 5 {
		events := filepath.Join(inMemory(t), "events")
		deny := &denial{What: []string{"subreaper"}, Errno: uint16(unix.EPERM)}
		c := startSpec(t, cageSpec{Mode: asSubreaper, Deny: deny, Args: []string{
			finiteBin, "--stop-grace", stretch("100ms"), "--cgroup", "off",
			"--events", events, "--", "sh", "-c", family,
		}}, nil)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGTERM)
		r := c.wait()
		r.left = slices.DeleteFunc(r.left, isDying)
		r.want(t, 137)
		wantNotContinued(t, events)
	}
}

func wantNotContinued(t *testing.T, file string) {
	t.Helper()
	events, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(events), `"event":"continued"`) {
		t.Errorf("the command went on while it was killed (%v):\n%s", err, events)
	}
}
