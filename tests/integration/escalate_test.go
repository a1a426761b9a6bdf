package integration

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// climber says which signals arrive, and ends for none.
//
//go:embed testdata/climber.sh
var climber string

func TestEscalate(t *testing.T) {
	atOnce(t, allModes, func(t *testing.T, m mode) {
		dir := t.TempDir()
		file := filepath.Join(dir, "report.json")
		c := startWithin(t, m, dir,
			stretch(`exec "$0" -t 1500ms --report report.json --escalate `+
				`USR1@-1s,DUMP@0,QUIT@0,TERM@200ms,KILL@500ms -- sh -c "$2"`), nil, climber)
		res := c.wait()
		res.want(t, 124)
		if got := strings.Join(strings.Fields(res.stdout), " "); got != "ready got USR1 got QUIT got TERM" {
			t.Errorf("the command said %q", got)
		}
		var steps []string
		for _, rung := range ended(t, file, "deadline", 124).Ladder {
			steps = append(steps, rung.Step+" "+rung.Result)
		}
		const ladder = "SIGUSR1 sent, dump taken, SIGQUIT sent, SIGTERM sent, SIGKILL sent, tree sent"
		if got := strings.Join(steps, ", "); got != ladder {
			t.Errorf("the ladder: %s", got)
		}
		tree, err := os.ReadFile(file + ".tree")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{string(tree), res.stderr} {
			if strings.Count(text, " sh\n") != 1 || strings.Count(text, " sleep\n") != 2 ||
				!strings.Contains(text, "WCHAN") {
				t.Errorf("the snapshot: %s", text)
			}
		}
		if there, _ := filepath.Glob(filepath.Join(dir, ".*")); len(there) > 0 {
			t.Errorf("beside it: %v", there)
		}
	})
}

// A stop that is requested takes the place of the rungs that are due at once.
func TestEscalateRequestedStop(t *testing.T) {
	atOnce(t, rootModes, func(t *testing.T, m mode) {
		c := start(t, m, "--escalate", stretch("QUIT@0,USR1@100ms,KILL@300ms"), "--", "sh", "-c", climber)
		c.stdout.await(t, "ready")
		c.signal(unix.SIGTERM)
		res := c.wait()
		res.want(t, 137)
		if got := strings.Join(strings.Fields(res.stdout), " "); got != "ready got TERM got USR1" {
			t.Errorf("the command said %q", got)
		}
	})
}

func TestSnapshot(t *testing.T) {
	atOnce(t, rootModes, func(t *testing.T, m mode) {
		for name, tt := range map[string]struct{ prepare, tree, says string }{
			"beside the report": {``, "COMM", ""},
			"over an old one":   {`seq 100000 >report.json.tree; `, "COMM", ""},
			"a symbolic link": {
				`echo precious >target; ln -s target report.json.tree; `, "precious",
				"cannot write report.json.tree: a symbolic link, which is not followed",
			},
			"a link that comes later": {
				`set -- "$1" "$2; echo precious >target; ln -s target report.json.tree"; `, "COMM", "",
			},
			"a directory": {
				`mkdir report.json.tree; `, "", "cannot write report.json.tree: is a directory",
			},
			"the directory is read-only": {
				`: >report.json; mount --bind . .; cd "$1"; mount --bind report.json report.json; ` +
					`mount -o remount,bind,ro .; `,
				"", "cannot write report.json.tree: read-only file system",
			},
		} {
			t.Run(name, func(t *testing.T) {
				if strings.Contains(tt.prepare, "mount") {
					needRoot(t)
				}
				dir := t.TempDir()
				// The neighbour is what the command sees: the mounts are the cage's own.
				c := startWithin(t, m, dir, tt.prepare+`exec "$0" -t `+stretch("300ms")+
					` -k 0 --snapshot --report report.json -- `+
					`sh -c "trap '' TERM; $2; while :; do sleep 1000; done"`, nil, ":")
				res := c.wait()
				res.want(t, 124)
				if !strings.Contains(res.stderr, tt.says) || !strings.Contains(res.stderr, "WCHAN") {
					t.Errorf("got %q", res.stderr)
				}
				tree, _ := os.ReadFile(filepath.Join(dir, "report.json.tree"))
				if !strings.Contains(string(tree), tt.tree) || tt.tree == "precious" && string(tree) != "precious\n" {
					t.Errorf("the snapshot: %.300q", tree)
				}
				if text, err := os.ReadFile(filepath.Join(dir, "target")); err == nil && string(text) != "precious\n" {
					t.Errorf("the target of the link: %q", text)
				}
			})
		}
	})
}
