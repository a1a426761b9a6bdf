package engines

import "testing"

// The status of the command is the container's, when finite is the entry point.
func TestDockerEntrypointStatus(t *testing.T) {
	d := docker(t)
	for _, test := range []struct {
		name    string
		command []string
		status  int
		stderr  string // empty: none
	}{
		{"zero", []string{"true"}, 0, ""},
		{"seven", []string{"sh", "-c", "exit 7"}, 7, ""},
		{"highest", []string{"sh", "-c", "exit 255"}, 255, ""},
		{"SIGTERM", []string{"sh", "-c", "kill -TERM $$"}, 128 + 15, ""},
		{"SIGKILL", []string{"sh", "-c", "kill -KILL $$"}, 128 + 9, ""},
		{"SIGSEGV", []string{"sh", "-c", "ulimit -c 0; kill -SEGV $$"}, 128 + 11, ""},
		{"not executable", []string{"/etc/not-executable"}, 126, "/etc/not-executable"},
		{"not found", []string{"no-such-command"}, 127, "no-such-command"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out := d.run(t, append([]string{"--"}, test.command...)...).end()
			out.check(t, test.status)
			if test.stderr == "" {
				out.silent(t)
			} else {
				out.says(t, "finite: ", test.stderr)
			}
		})
	}
}

// A mistake in the options is finite's own failure, and named.
func TestDockerBadUsage(t *testing.T) {
	d := docker(t)
	t.Parallel()
	out := d.runFinite(t, nil, "--timeout", "soon", "--", "true").end()
	out.check(t, 125)
	out.says(t, "finite: ", "--timeout", "soon")
}
