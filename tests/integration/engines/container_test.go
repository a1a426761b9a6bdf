package engines

import (
	"fmt"
	"strings"
	"testing"
)

// container is one that a test made. It is removed at the test's end.
type container struct {
	*process // docker run, in the foreground
	d        *dockerd
	name     string
	mark     string
}

// run starts a container in the foreground: args are options of docker run, and then, after "--",
// the command.
func (d *dockerd) run(t *testing.T, args ...string) *container {
	t.Helper()
	c := d.newContainer(t)
	options, command := args, []string(nil)
	for i, arg := range args {
		if arg == "--" {
			options, command = args[:i], args[i+1:]
			break
		}
	}
	all := append(append(c.options(), options...), image)
	c.process = start(t, d.command(append(all, command...)...))
	return c
}

// newContainer is one that is not there yet.
func (d *dockerd) newContainer(t *testing.T) *container {
	mark := newMark()
	_, number, _ := strings.Cut(mark, "=")
	c := &container{d: d, name: "c" + number, mark: mark}
	t.Cleanup(func() { _ = d.command("rm", "-f", c.name).Run() })
	return c
}

// options is the beginning of its docker run.
func (c *container) options() []string {
	return []string{"run", "--name", c.name, "--network", "none", "-e", c.mark}
}

// runFinite starts a container whose PID 1 is finite with these arguments.
func (d *dockerd) runFinite(t *testing.T, options []string, args ...string) *container {
	t.Helper()
	return d.run(t, append(append([]string{"--entrypoint", "/finite"}, options...),
		append([]string{"--"}, args...)...)...)
}

// runBystander starts a container whose PID 1 has nothing to do with finite, and reaps nobody, so
// that zombies would stay.
func (d *dockerd) runBystander(t *testing.T, options ...string) *container {
	t.Helper()
	c := d.run(t, append(append([]string{"-i", "--entrypoint", "sh"}, options...),
		"--", "-c", "echo bystander; exec cat")...)
	c.await("bystander")
	return c
}

// exec starts a command in the container, with a mark of its own.
func (c *container) exec(args ...string) (*process, string) {
	c.t.Helper()
	mark := newMark()
	return start(c.t, c.d.command(append([]string{"exec", "-e", mark, c.name}, args...)...)), mark
}

// end waits for the end of the container and checks that the daemon has the same status for it, and
// that no process is left.
func (c *container) end() outcome {
	c.t.Helper()
	out := c.wait()
	state := start(c.t, c.d.command("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", c.name)).wait()
	if want := fmt.Sprintf("exited %d\n", out.status); state.stdout != want {
		c.t.Errorf("docker inspect says %q, docker run %q", state.stdout, want)
	}
	checkGone(c.t, c.mark)
	return out
}

// zombies lists the processes of the container that nobody has reaped.
func (c *container) zombies() []string {
	c.t.Helper()
	list, _ := c.exec("ps", "-o", "stat,ppid,pid,args")
	out := list.wait()
	out.check(c.t, 0)
	var found []string
	for line := range strings.Lines(out.stdout) {
		if strings.HasPrefix(line, "Z") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
