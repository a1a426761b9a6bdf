//go:build amd64

package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// worker plays runs in a cage, one after the other. A cage that something was left in is not used
// again.
type worker struct {
	t      *testing.T
	dir    string
	cgroup string // the cage is in it
	cage   *cage.Cage
	orders io.WriteCloser
	said   *bytes.Buffer // by the observer itself
}

// play plays one run.
func (w *worker) play(o *order) (s seen, err error) {
	if w.cage == nil {
		w.start()
	}
	if err = json.NewEncoder(w.orders).Encode(o); err == nil {
		err = w.cage.Hear(&s, 2*testkit.Patience())
	}
	if err != nil {
		err = fmt.Errorf("the observer has failed: %w", err)
	}
	if err != nil || len(s.Ghosts) > 0 || s.Hung != "" {
		w.end()
	}
	leaves, _ := filepath.Glob(filepath.Join(w.cgroup, "finite-*"))
	for _, dir := range leaves {
		_ = unix.Rmdir(dir)
	}
	s.Leaves = len(leaves)
	return s, err
}

func (w *worker) start() {
	w.cage = cage.Start(w.t, "observer", place{cage.Finite, w.dir}, func(cmd *exec.Cmd) {
		var err error
		if w.orders, err = cmd.StdinPipe(); err != nil {
			w.t.Fatal(err)
		}
		w.said = &bytes.Buffer{}
		cmd.Stderr = w.said
		cmd.SysProcAttr.Setsid = true
		testkit.Within(w.t, w.cgroup)(cmd)
	})
}

// end ends the cage, and everybody in it.
func (w *worker) end() {
	if w.cage == nil {
		return
	}
	w.orders.Close()
	_ = w.cage.Process.Kill()
	_ = w.cage.End(nil, testkit.Patience())
	w.cage = nil
}
