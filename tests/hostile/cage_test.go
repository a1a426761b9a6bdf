package hostile

import (
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/hostile/plan"
	"github.com/finite-init/finite/tests/internal/cage"
	"github.com/finite-init/finite/tests/internal/testkit"
)

// order is what the processes of a cage are told.
type order struct {
	Role     string
	User     string
	Pinned   bool     // to one processor
	Args     []string // what is run
	Plan     plan.Plan
	Patience time.Duration // for those to go whom finite, which was killed, has left
}

// seen is what the observer tells.
type seen struct {
	Status int   // negative: the signal that killed finite
	Began  int64 // ns of CLOCK_MONOTONIC
	Ended  int64
	Left   []testkit.Process // when finite had ended
	Ghosts []testkit.Process // when everybody had had time to go
	Gone   int64             // when nobody was left
}

var must = cage.Must

// playObserver is PID 1 of a cage. No signal from the cage ends it: it catches all of them.
func playObserver(o order) {
	cage.Enter()
	signal.Notify(make(chan os.Signal, 1))
	role := roleNamed(o.Role)
	var h host
	if role.name == asGuest {
		h = startHost(o)
		o.Args = slices.Insert(o.Args, 1, "--join", strconv.Itoa(h.init))
	}
	attr := syscall.ProcAttr{
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | role.flags},
	}
	if role.terminal {
		_, tty, err := pty.Open()
		must(err)
		must(unix.IoctlSetInt(int(tty.Fd()), unix.TIOCSCTTY, 0)) // it leads its session
		attr.Files[0] = tty.Fd()
		attr.Sys.Foreground, attr.Sys.Ctty = true, int(tty.Fd())
	}
	s := seen{Began: plan.Now()}
	s.Status = cage.Wait(cage.Fork("stage", o, attr))
	s.Ended = plan.Now()
	s.Left = h.guests()
	s.Ghosts = h.reapAll(o.Patience)
	s.Gone = plan.Now()
	h.end()
	cage.Tell(s)
	os.Exit(0)
}

// host owns the namespaces that finite joins. It belongs to the cage: the command cannot end it.
type host struct {
	unshare int // 0: there is no host
	init    int // PID 1 of the PID namespace
}

// startHost makes namespaces as the user of the order.
func startHost(o order) (h host) {
	u := userNamed(o.User)
	o.Args = []string{"/usr/bin/unshare", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child"}
	if strings.Contains(u.namespaces(), "user") {
		o.Args = append(o.Args, "--user", "--map-current-user")
	}
	o.Args = append(o.Args, "/bin/sh", "-c", "echo ready; exec sleep infinity")
	r, w, err := os.Pipe()
	must(err)
	h.unshare = cage.Fork("stage", o, syscall.ProcAttr{
		Files: []uintptr{0, w.Fd(), 2},
		Sys:   &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Setsid: true},
	})
	w.Close()
	_, err = io.ReadFull(r, make([]byte, len("ready")))
	must(err)
	h.init = cage.Children(h.unshare)[0]
	return h
}

// end ends the host, and waits for it. The init dies with its parent, and is the observer's then.
func (h host) end() {
	if h.unshare == 0 {
		return
	}
	must(unix.Kill(h.unshare, unix.SIGKILL))
	for _, pid := range []int{h.unshare, h.init} {
		_, err := syscall.Wait4(pid, nil, 0, nil)
		must(err)
	}
}

// guests is everybody but the host.
func (h host) guests() []testkit.Process {
	return slices.DeleteFunc(
		cage.Everybody(),
		func(p testkit.Process) bool { return p.PID == h.unshare || p.PID == h.init },
	)
}

// reapAll waits until nobody is there, and returns who is after all.
func (h host) reapAll(patience time.Duration) (all []testkit.Process) {
	cage.Reap(patience, func() bool {
		all = h.guests()
		return len(all) == 0
	})
	return all
}

// playStage becomes the user that the round is about, and then finite.
func playStage(o order) {
	runtime.LockOSThread() // what is set here belongs to a thread
	cage.OwnMounts(roleNamed(o.Role).flags&unix.CLONE_NEWPID != 0)
	must(syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}))
	if o.Pinned {
		must(pin())
	}
	u := userNamed(o.User)
	for c := range uintptr(64) {
		// Root may map itself with it alone (user_namespaces(7)).
		maps := c == unix.CAP_SETFCAP && roleNamed(o.Role).apart
		joins := c == unix.CAP_SYS_CHROOT && o.Role == asGuest // who joins a mount namespace (setns(2))
		if !maps && !joins && !hasCap(u.caps, c) {
			_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // EINVAL: the kernel has none of that number
		}
	}
	if u.uid != 0 {
		must(call(unix.SYS_SETGROUPS, 0, 0, 0))
		must(call(unix.SYS_SETRESGID, uintptr(u.uid), uintptr(u.uid), uintptr(u.uid)))
		must(call(unix.SYS_SETRESUID, uintptr(u.uid), uintptr(u.uid), uintptr(u.uid)))
	}
	must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	must(unix.Chdir("/"))
	text, err := json.Marshal(o.Plan)
	must(err)
	must(syscall.Exec(o.Args[0], o.Args, append(cage.Environ(), plan.Env+"="+string(text))))
}

// pin leaves this thread, and what it becomes, one of its processors.
func pin() error {
	var allowed, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return err
	}
	for cpu := range 1024 {
		if allowed.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	return unix.SchedSetaffinity(0, &one)
}

func hasCap(caps []uintptr, c uintptr) bool {
	for _, has := range caps {
		if has == c {
			return true
		}
	}
	return false
}

// call is a system call for this thread alone.
func call(number, a, b, c uintptr) error {
	if _, _, e := unix.RawSyscall(number, a, b, c); e != 0 {
		return e
	}
	return nil
}
