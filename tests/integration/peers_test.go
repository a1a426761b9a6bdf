package integration

import (
	"strings"
	"testing"
)

// What the README says of other tools, beside what it says of finite: who is still there when they
// have returned. Not as PID 1, since there the kernel would clean up after them.
func TestPeersLeaveWhatFiniteEnds(t *testing.T) {
	const daemon = `setsid sh -c 'echo ready; exec sleep 1000' & ` +
		`while ! ps -o stat= -C sleep | grep -q S; do :; done; `
	for _, tt := range []struct {
		name   string
		args   []string
		status int
		left   int
	}{
		{"finite", []string{finiteBin, "--", "sh", "-c", daemon + "exit 3"}, 3, 0},
		{"tini", []string{"tini-static", "-s", "--", "sh", "-c", daemon + "exit 3"}, 3, 1},
		{"dumb-init", []string{"dumb-init", "--", "sh", "-c", daemon + "exit 3"}, 3, 1},
		{"catatonit", []string{"catatonit", "--", "sh", "-c", daemon + "exit 3"}, 3, 1},
		{"finite with a deadline", []string{finiteBin, "-t", "1", "--", "sh", "-c", daemon + "sleep 2000"}, 124, 0},
		{"timeout", []string{"timeout", "1", "sh", "-c", daemon + "sleep 2000"}, 124, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{needCommand(t, tt.args[0])}, tt.args[1:]...)
			r := startSpec(t, cageSpec{Mode: asSubreaper, Args: args}, nil).wait()
			if r.status != tt.status {
				t.Errorf("status %d, want %d: %s", r.status, tt.status, r.stderr)
			}
			alive := 0
			for _, stat := range r.left {
				if strings.Contains(stat, "(sleep) S") { // R is one that is dying
					alive++
				}
			}
			if alive != tt.left {
				t.Errorf("%d processes left, want %d: %v", alive, tt.left, r.left)
			}
		})
	}
}
