package engines

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/finite-init/finite/tests/internal/testkit"
)

// bundle is an OCI bundle that runc runs in the room.
type bundle struct {
	*process // runc run, in the foreground
	r        *room
	id       string
	mark     string
}

// runBundle runs a container whose PID 1 is finite with these arguments.
func runBundle(t *testing.T, args ...string) *bundle {
	t.Helper()
	need(t, "runc")
	r := enter(t)
	mark := newMark()
	_, number, _ := strings.Cut(mark, "=")
	b := &bundle{r: r, id: "r" + number, mark: mark}
	dir := filepath.Join(r.dir, "bundles", b.id)
	if err := writeBundle(dir, r.rootfs, b.id, mark, append([]string{"/finite"}, args...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.runc("delete", "--force", b.id).Run() })
	b.process = start(t, b.runc("run", "--bundle", dir, b.id))
	return b
}

func (b *bundle) runc(args ...string) *exec.Cmd {
	return b.r.command("runc", append([]string{"--root", filepath.Join(b.r.dir, "runc")}, args...)...)
}

// writeBundle takes runc's own example of a config.json and changes what differs. All bundles share
// one root, which is read-only there.
func writeBundle(dir, rootfs, id, mark string, args []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("runc", "spec", "--bundle", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("runc spec: %w\n%s", err, out)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	process, ok := config["process"].(map[string]any)
	if !ok {
		return fmt.Errorf("runc spec wrote no process: %s", text)
	}
	process["terminal"] = false
	process["args"] = args
	process["env"] = []string{"PATH=/bin", mark}
	delete(process, "oomScoreAdj") // to lower it takes CAP_SYS_RESOURCE
	root, linux := config["root"].(map[string]any), config["linux"].(map[string]any)
	root["path"] = rootfs
	linux["cgroupsPath"] = "/runc/" + id
	if text, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// end waits for the end and checks that no process is left.
func (b *bundle) end() outcome {
	b.t.Helper()
	out := b.wait()
	checkGone(b.t, b.mark)
	return out
}

func TestRuncStatus(t *testing.T) {
	for _, test := range []struct {
		script string
		status int
	}{
		{"exit 0", 0},
		{"exit 7", 7},
		{"exit 255", 255},
		{"kill -TERM $$", 128 + 15},
	} {
		t.Run(test.script, func(t *testing.T) {
			t.Parallel()
			out := runBundle(t, "--", "sh", "-c", test.script).end()
			out.check(t, test.status)
			out.silent(t)
		})
	}
}

func TestRuncTimeout(t *testing.T) {
	t.Parallel()
	checkDeafTree(t, runBundle(t, "--timeout", testkit.Stretch("2s"), "--grace", testkit.Stretch("500ms"),
		"--", "sh", "-c", deafTree).end())
}

func TestRuncKill(t *testing.T) {
	t.Parallel()
	b := runBundle(t, "--", "sh", "-c", `trap 'echo cleaned; exit 42' TERM; echo ready; sleep 10000 & wait`)
	b.await("ready")
	start(t, b.runc("kill", b.id, "TERM")).wait().check(t, 0)
	out := b.end()
	out.check(t, 42)
	out.prints(t, "cleaned", 1)
}

// runc exec, and what it left when the command of the container ended.
func TestRuncExec(t *testing.T) {
	t.Parallel()
	b := runBundle(t, "--", "sh", "-c", "echo ready; read -r _; exit 3")
	b.await("ready")
	job := start(t, b.runc("exec", "--env", b.mark+".job", b.id, "/finite",
		"--timeout", testkit.Stretch("2s"), "--grace", testkit.Stretch("500ms"), "--", "sh", "-c", deafTree))
	out := job.wait()
	checkGone(t, b.mark+".job")
	checkDeafTree(t, out)
	b.stdin.Close()
	b.end().check(t, 3)
}
