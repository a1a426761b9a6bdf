//go:build amd64

package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// place is what the observer is told at its start.
type place struct {
	Finite string // the binary under test
	Dir    string // for the files of one run
}

// order is what the observer is told of one run.
type order struct {
	Setting string
	Target  *target `json:",omitempty"`
}

// seen is what the observer tells of it.
type seen struct {
	Status  int // negative: the signal that ended finite
	Took    time.Duration
	Came    bool   // the call has come
	Hit     bool   // the fault has happened
	Stuck   bool   // a process that was stopped was not continued at the deadline
	Object  string // what the call was about
	Started bool   // the command has
	Stderr  string
	Report  string
	Left    []testkit.Process // when finite had ended
	Ghosts  []testkit.Process // when everybody had had time to go
	Hung    string            // what everybody did when the time was over
	Leaves  int               `json:"-"`          // cgroups that finite has made and not removed
	Counts  []count           `json:",omitempty"` // of a recording
}

// playObserver is PID 1 of a cage. It reads orders from its standard input.
func playObserver(p place) {
	cage.Enter()
	signal.Notify(make(chan os.Signal, 1))
	orders := json.NewDecoder(os.Stdin)
	for {
		var o order
		err := orders.Decode(&o)
		if errors.Is(err, io.EOF) {
			os.Exit(0)
		}
		cage.Must(err)
		cage.Tell(observe(p, &o))
	}
}

// observe runs finite once.
func observe(p place, o *order) seen {
	entries, err := os.ReadDir(p.Dir)
	cage.Must(err)
	for _, e := range entries {
		cage.Must(os.Remove(filepath.Join(p.Dir, e.Name())))
	}
	set := settings[o.Setting]
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	cage.Must(err)
	var stderr [2]int
	cage.Must(unix.Pipe2(stderr[:], unix.O_CLOEXEC))
	attr := &syscall.ProcAttr{
		Env:   cage.Environ(),
		Files: []uintptr{null.Fd(), null.Fd(), uintptr(stderr[1])},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if set.initial {
		attr.Sys.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	}
	t := tracer{finite: p.Finite, setting: set, target: o.Target}
	var s seen
	limit := testkit.Stretched(timeout + grace + giveUp + margin + harassed + 3*time.Second)
	var late atomic.Bool
	watchdog := time.AfterFunc(limit, func() {
		s.Hung = everybodyDoes()
		late.Store(true)
		_ = unix.Kill(-1, unix.SIGKILL)
	})
	args := set.args(p.Finite, p.Dir)
	begin := time.Now()
	t.trace(args[0], args, attr)
	s.Took = time.Since(begin)
	if !watchdog.Stop() {
		for !late.Load() {
			time.Sleep(time.Millisecond)
		}
	}
	null.Close()
	unix.Close(stderr[1])
	s.Status, s.Came, s.Hit, s.Stuck, s.Object = t.status, t.came, t.hit, t.stuck, t.object
	t.reapTraced()
	if s.Left = t.everybody(); len(s.Left) > 0 {
		s.Ghosts = t.outlast(limit)
	}
	t.end()
	s.Stderr = readPipe(stderr[0])
	_, err = os.Stat(filepath.Join(p.Dir, "started"))
	s.Started = err == nil
	report, _ := os.ReadFile(filepath.Join(p.Dir, "report"))
	s.Report = string(report)
	if o.Target == nil {
		for key, n := range t.counts {
			s.Counts = append(s.Counts, count{key.kind, key.number, n})
		}
	}
	return s
}

// readPipe reads what there is in a pipe, and closes it.
func readPipe(fd int) string {
	defer unix.Close(fd)
	_ = unix.SetNonblock(fd, true)
	text := make([]byte, 1<<16)
	n, _ := unix.Read(fd, text)
	return string(text[:max(n, 0)])
}

// everybodyDoes has a line for each thread of the cage: its name, its state, and where it waits.
func everybodyDoes() string {
	var b strings.Builder
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/*")
	for _, dir := range tasks {
		stat, _ := os.ReadFile(dir + "/stat")
		call, _ := os.ReadFile(dir + "/syscall")
		wchan, _ := os.ReadFile(dir + "/wchan")
		fmt.Fprintf(&b, "%.50s %.40s %s\n", stat, strings.TrimSpace(string(call)), wchan)
	}
	return b.String()
}
