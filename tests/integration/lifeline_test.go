package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// A lifeline that hangs up is a stop, whatever it is; what was written to it before is there for
// the command to read.
func TestLifeline(t *testing.T) {
	kinds := map[string]func(t *testing.T) (near, far *os.File){
		"pipe": func(t *testing.T) (near, far *os.File) {
			near, far, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			return near, far
		},
		"socket": func(t *testing.T) (near, far *os.File) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			return os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
		},
		"terminal": func(t *testing.T) (near, far *os.File) {
			far, near, err := pty.Open()
			if err != nil {
				missing(t, "no pseudo-terminal: %v", err)
			}
			return near, far
		},
	}
	for name, open := range kinds {
		t.Run(name, func(t *testing.T) {
			atOnce(t, allModes, func(t *testing.T, m mode) {
				near, far := open(t)
				defer far.Close()
				const script = `trap 'read -r line; echo "read $line"; exit 5' TERM; ` +
					`setsid sh -c 'trap "" TERM; echo up; sleep 1000' & while :; do sleep 0.1; done`
				c := startSpec(t, cageSpec{
					Mode: m, Args: []string{
						finiteBin, "-k", stretch("300ms"), "--lifeline", "stdin", "--", "sh", "-c", script,
					},
				}, func(cmd *exec.Cmd) {
					cmd.Stdin = near
				})
				near.Close()
				c.stdout.await(t, "up")
				if _, err := far.WriteString("data\n"); err != nil {
					t.Fatal(err)
				}
				far.Close()
				r := c.wait()
				r.want(t, 5)
				// A terminal that hangs up takes what was typed with it.
				if want := "read data"; name != "terminal" && !strings.Contains(r.stdout, want) {
					t.Errorf("no %q in %q", want, r.stdout)
				}
				if !strings.Contains(r.stderr, "the lifeline has hung up: SIGTERM") {
					t.Errorf("stderr %q", r.stderr)
				}
			})
		})
	}
}

// The end of the parent process is a stop. The parent's thread is not what counts, and neither is a
// new parent.
func TestLifelineOfTheParent(t *testing.T) {
	forModes(t, []mode{asSubreaper, asNobody}, func(t *testing.T, m mode) {
		const parent = `d=$(mktemp -d); mkfifo "$d/up"
"$0" -k 30s --lifeline parent -- sh -c 'trap "echo ended; exit" TERM
echo up >"$0/up"; while :; do sleep 0.05; done' "$d" &
read -r _ <"$d/up"; rm -r "$d"`
		r := startSpec(t, cageSpec{
			Mode: m, Late: true, Args: []string{"/bin/sh", "-c", parent, finiteBin},
		}, nil).wait()
		r.want(t, 0)
		if r.stdout != "ended\n" || !strings.Contains(r.stderr, "the lifeline has hung up") {
			t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
		}
	})
	r := run(t, asInit, "--lifeline", "parent", "--", "true")
	r.want(t, 125)
	if !strings.HasPrefix(r.stderr, "finite: --lifeline parent: the parent process cannot be watched") {
		t.Errorf("stderr %q", r.stderr)
	}
}
