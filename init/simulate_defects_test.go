package pid1

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	simulateDefects = flag.Bool("simulate.defects", false, "put defects back, and have the simulation find them")
	simulateFirst   = flag.Int("simulate.first", 0, "the first of the defects that is put back")
)

// defect is one that the code has had, or could have. Its text takes the place of what is there.
type defect struct {
	name, file, is, was string
}

var defects = []defect{
	{
		"a stopped command is not continued after a stop signal", "init/internal/machine/ending.go",
		"	case m.continues <= maxContinues:\n		m.sendContinue()\n", "	case m.continues <= maxContinues:\n",
	},
	{
		"a command that stops itself again and again is continued four times", "init/internal/machine/ending.go",
		"		m.arm(timerContinue, continuePeriod)\n", "",
	},
	{
		"a deadline during the start is forgotten", "init/internal/machine/ending.go",
		"			m.pending = ev\n", "",
	},
	{
		"an ending waits for a start that hangs", "init/internal/machine/ending.go",
		"		m.arm(timerStart, m.startLimit())\n", "",
	},
	{
		"a deadline does not shorten the ending of a requested stop", "init/internal/machine/ending.go",
		"			m.note(ending.LevelWarn, why+\" while a stop was under way\")\n			m.hurry(why)\n",
		"			m.note(ending.LevelWarn, why+\" while a stop was under way\")\n",
	},
	{
		"the kill is never given up where leftovers are waited for", "init/internal/machine/ending.go",
		"	if m.Policy.GiveUp != ending.Never {\n		m.arm(timerGiveUp",
		"	if m.Policy.GiveUp != ending.Never && m.Policy.Leftovers != ending.LeftoversWait {\n		m.arm(timerGiveUp",
	},
	{
		"a deadline does not end what a command has left", "init/internal/machine/children.go",
		"	if m.Policy.Leftovers == ending.LeftoversWait && m.leftovers && !m.climbing() {\n",
		"	if false {\n",
	},
	{
		"the cause has no kind where a dead command is never reaped", "init/runner_result.go",
		"cause.Kind == \"\" && r.last.PID != 0 {", "cause.Kind == \"?\" {",
	},
	{
		"a zombie that a tracer holds is not noticed", "init/internal/effects/base.go",
		"	b.held.watch(pid, pidfd)\n", "	_, _ = pid, pidfd\n",
	},
	{
		"the number of a dead command is free before its owner knows", "init/internal/effects/reapwatcher.go",
		"	if !w.byNumber.Load() {\n", "	if true {\n",
	},
	{
		"the reaper frees numbers while a sweep signals them", "reap/loop.go",
		"	l.Lock()\n	defer l.Unlock()\n	for {\n", "	for {\n",
	},
	{
		"nobody is checked before a signal", "nsutil/tree/tree.go",
		"	if !t.verify(m) {\n		return unix.ESRCH\n", "	if false {\n		return unix.ESRCH\n",
	},
	{
		"a round of the kill that is given up leaves processes stopped", "nsutil/tree/kill.go",
		"		if isClosed(done) {\n			break\n		}\n		t.freeze(done)\n",
		"		if isClosed(done) {\n			return nil\n		}\n		t.freeze(done)\n",
	},
	{
		"who has left the cgroup lives on behind one that cannot be killed", "nsutil/tree/kill.go",
		"	for range maxSweeps {\n", "	if isClosed(done) {\n		return nil\n	}\n	for range maxSweeps {\n",
	},
	{
		"who is in the cgroup alone is not killed without cgroup.kill", "nsutil/tree/kill.go",
		"	if !killed {\n		t.signalStrangers(unix.SIGKILL)\n	}\n", "",
	},
	{
		"a stat that hangs keeps the kill of the tree", "nsutil/tree/tree.go",
		"	parent, err := t.proc.Parent(pid)\n", "	st, err := t.proc.Stat(pid)\n	parent := st.PPID\n",
	},
	{
		"a child is signalled twice without /proc", "nsutil/tree/kill.go",
		"			t.found[pid] = struct{}{} // so", "			// so",
	},
}

// What the defects are put in the place of is in the code, once.
func TestDefectsFitTheCode(t *testing.T) {
	for i := range defects {
		defects[i].overlay(t)
	}
}

// Each defect that is put back is found. It takes some minutes.
func TestSimulateFindsDefects(t *testing.T) {
	if !*simulateDefects {
		return
	}
	for _, d := range defects[*simulateFirst:] {
		seed, what := d.find(t)
		if what == "" {
			t.Errorf("not found: %s", d.name)
			continue
		}
		t.Logf("%s: history %d: %.200s", d.name, seed, what)
	}
}

// wrongHistory is a line of a worker's.
var wrongHistory = regexp.MustCompile(`history (\d+): (.*)`)

// find puts the defect into a build, and plays more and more histories until one is wrong.
func (d *defect) find(t *testing.T) (seed uint64, what string) {
	overlay := d.overlay(t)
	for histories := 10000; histories <= 1000000; histories *= 10 {
		cmd := exec.Command("go", "test", "-overlay", overlay, "-count=1", "-timeout=10m", "-run=^TestSimulate$", ".",
			"-args", "-simulate.seed=1", "-simulate.wrong=1", fmt.Sprintf("-simulate.histories=%d", histories))
		out, err := cmd.CombinedOutput()
		for _, found := range wrongHistory.FindAllSubmatch(out, -1) {
			n, err := strconv.ParseUint(string(found[1]), 10, 64)
			if err == nil && (what == "" || n < seed) {
				seed, what = n, string(found[2])
			}
		}
		if what != "" {
			return seed, what
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", d.name, err, out)
		}
	}
	return 0, ""
}

// overlay writes the file with the defect, and what has the go command take it.
func (d *defect) overlay(t *testing.T) string {
	path, err := filepath.Abs(filepath.Join("..", d.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), d.is); n != 1 {
		t.Fatalf("%s: what it replaces is %d times in %s", d.name, n, d.file)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, filepath.Base(path)), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), d.is, d.was, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return overlay
}
