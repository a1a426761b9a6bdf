package chaos

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// order is what the observer is told.
type order struct {
	Round   *round
	Finite  string
	Player  string
	Dir     string   // of the round's files
	Cgroups []string // finite is moved into these

	Patience time.Duration // for those to go whom nobody holds any more
}

func (o *order) file(name string) string { return filepath.Join(o.Dir, name) }

// seen is what the observer tells. Times are milliseconds.
type seen struct {
	Status int // negative: the signal that killed it
	Ready  int // when the tree was ready; 0: never
	Ended  int // when finite had ended
	Stuck  int // when who is stuck was let go, where that was before finite could end
	Sent   int // signals
	RTSent int
	Left   []testkit.Process // when finite had ended
	Gone   int               // how much later those of them were gone who were not stuck; -1: never
	Ghosts []testkit.Process // who was there at the very end, when nobody was stuck any more
	Counts counters
}

// observer is PID 1 of a cage: what finite leaves falls to it, or is there to be seen in its /proc.
type observer struct {
	order
	pid    int
	began  time.Time
	counts *counters
	seen
	shots []shot
	early time.Time // when finite was executed
}

var must = cage.Must

func playObserver(o order) {
	cage.Enter()
	if o.Round.has("D0(") {
		must(testkit.MountStuck(o.file("stuck")))
	}
	var err error
	b := &observer{order: o, shots: slices.Clone(o.Round.Signals)}
	b.counts, err = mapCounters(o.file("counters"))
	must(err)
	b.start()
	b.watch()
	cage.Tell(b.seen)
	os.Exit(0)
}

// start starts the stage, which becomes finite.
func (b *observer) start() {
	attr := syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}}
	if b.Round.Role == asInit {
		attr.Sys.Cloneflags |= unix.CLONE_NEWPID
	}
	b.began = time.Now()
	b.pid = cage.Fork("stage", b.order, attr)
}

func (b *observer) now() int { return int(time.Since(b.began).Milliseconds()) + 1 }

// watch sends the signals and waits for the end, and nobody but finite is waited for.
func (b *observer) watch() {
	if b.Round.Kind == "early" {
		b.sendEarly()
	}
	for {
		if b.Ready == 0 && b.counts.ready() {
			b.Ready = b.now()
		}
		b.send()
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(b.pid, &ws, syscall.WNOHANG, nil)
		if err != syscall.EINTR {
			must(err)
		}
		if pid == b.pid {
			b.Status = cage.Status(ws)
			break
		}
		if b.Stuck == 0 && b.Round.Role == asInit && b.Round.has("D0(") && (b.saysEnded() || b.isExiting()) {
			// The kernel does not let a PID 1 end before everybody in its namespace has.
			b.Stuck = b.now()
			b.inventory()
			testkit.AbortStuck(b.file("stuck"))
		}
		time.Sleep(time.Millisecond)
	}
	b.Ended = b.now()
	if b.Stuck != 0 {
		b.Ended = b.Stuck
	} else {
		b.inventory()
		testkit.AbortStuck(b.file("stuck"))
	}
	b.Counts = *b.counts
	for begin := time.Now(); len(b.ghosts()) > 0 && time.Since(begin) < b.Patience; {
		time.Sleep(time.Millisecond)
	}
	b.Ghosts = b.ghosts()
}

// ghosts are those who are there besides the observer, and are not zombies that are the observer's
// to reap: in a round in which somebody was stuck, or finite was killed, who ends after finite
// becomes one.
func (b *observer) ghosts() []testkit.Process {
	all := cage.Everybody()
	if !b.Round.has("D0(") && b.Round.Kind != "finite is killed" {
		return all
	}
	return slices.DeleteFunc(all, func(p testkit.Process) bool { return p.State == "Z" })
}

// sendEarly sends the signals that come while finite starts.
func (b *observer) sendEarly() {
	exe := "/proc/" + strconv.Itoa(b.pid) + "/exe"
	for {
		if to, err := os.Readlink(exe); err != nil || to == b.Finite {
			break
		}
	}
	b.early = time.Now()
	for _, s := range b.shots {
		for time.Since(b.early) < time.Duration(s.At)*time.Microsecond { // a random moment, not synchronisation
			runtime.Gosched()
		}
		b.shoot(s)
	}
	b.shots = nil
}

// send sends the signals whose time has come.
func (b *observer) send() {
	if b.Ready == 0 {
		return
	}
	since := b.now() - b.Ready
	b.shots = slices.DeleteFunc(b.shots, func(s shot) bool {
		if s.At > since {
			return false
		}
		b.shoot(s)
		return true
	})
}

func (b *observer) shoot(s shot) {
	if unix.Kill(b.pid, unix.Signal(s.Sig)) == nil {
		b.Sent++
		if s.Sig >= 34 {
			b.RTSent++
		}
	}
}

// saysEnded reports whether the report is final.
func (b *observer) saysEnded() bool {
	text, err := os.ReadFile(b.file("report"))
	if err != nil {
		return false
	}
	var r report
	return json.Unmarshal(text, &r) == nil && r.State == "ended"
}

// isExiting reports whether finite has no memory any more: it has ended, but for what the kernel
// does. Without a supervisor it says so in no report.
func (b *observer) isExiting() bool {
	if b.Ready == 0 {
		return false // a thread of the stage may be executing finite
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(b.pid) + "/status")
	return err == nil && !strings.Contains(string(text), "\nVmSize:")
}

// inventory lists who is left. In a round in which somebody is stuck there may be others who were
// killed, and need a moment to be gone: finite does not wait for them any longer than for the stuck
// one.
func (b *observer) inventory() {
	b.Left = cage.Everybody()
	if !b.Round.has("D0(") {
		return
	}
	begin := time.Now()
	for time.Since(begin) < b.Patience {
		b.Left = cage.Everybody()
		if !slices.ContainsFunc(b.Left, b.restless) {
			b.Gone = int(time.Since(begin).Milliseconds())
			return
		}
		time.Sleep(time.Millisecond)
	}
	b.Gone = -1
}

// restless reports whether somebody should be gone: not who is in the kernel's hands, not a zombie,
// which is the observer's to reap, and not a PID 1 that cannot end before others.
func (b *observer) restless(p testkit.Process) bool {
	return p.State != "D" && p.State != "Z" && p.PID != b.pid && (p.Inner != 1 || b.Round.Role == asSubreaper)
}

// playStage takes away from itself what finite is not to have, and becomes finite.
func playStage(o order) {
	runtime.LockOSThread() // no_new_privs and a filter belong to a thread
	r := o.Round
	cage.OwnMounts(r.Role == asInit && !r.NoProc)
	if r.NoProc {
		must(unix.Mount("none", "/proc", "tmpfs", unix.MS_RDONLY, ""))
	}
	must(syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}))
	script := `while [ "$1" != -- ]; do echo 0 >"$1/cgroup.procs" || exit 97; shift; done; shift; `
	if r.Files > 0 {
		script += "ulimit -n " + strconv.Itoa(r.Files) + "; "
	}
	script += `exec "$@"`
	if r.Stdin == "closed" {
		script += " 0<&-"
	}
	if r.Stderr == "closed" {
		script += " 2>&-"
	}
	args := append([]string{"/bin/sh", "-c", script, "sh"}, o.Cgroups...)
	args = append(args, "--", o.Finite)
	args = append(args, r.options(o.file("report"))...)
	args = append(args, "--", o.Player, o.file("counters"), r.Tree, r.End, o.file("stuck"))
	if r.Deny != nil {
		must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		must(r.Deny.Install())
	}
	must(syscall.Exec(args[0], args, cage.Environ()))
}
