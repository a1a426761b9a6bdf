package hostile

import (
	"encoding/json"
	"fmt"
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

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cage:", err)
		os.Exit(98)
	}
}

// observer is PID 1 of a cage. No signal from the cage ends it: it catches all of them.
func playObserver(o order) {
	runtime.LockOSThread()
	signal.Notify(make(chan os.Signal, 1))
	must(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("proc", "/proc", "proc", 0, ""))
	unix.CloseOnExec(3)
	role := roleNamed(o.Role)
	var h host
	if role.name == asGuest {
		h = startHost(o)
		o.Args = slices.Insert(o.Args, 1, "--join", strconv.Itoa(h.init))
	}
	attr := stageOf(o)
	attr.Sys = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | role.flags}
	if role.terminal {
		_, tty, err := pty.Open()
		must(err)
		must(unix.IoctlSetInt(int(tty.Fd()), unix.TIOCSCTTY, 0)) // it leads its session
		attr.Files[0] = tty.Fd()
		attr.Sys.Foreground, attr.Sys.Ctty = true, int(tty.Fd())
	}
	s := seen{Began: plan.Now()}
	pid := fork(attr)
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
			must(err)
			break
		}
	}
	s.Ended = plan.Now()
	if s.Status = ws.ExitStatus(); ws.Signaled() {
		s.Status = -int(ws.Signal())
	}
	s.Left = h.guests()
	s.Ghosts = h.reapAll(o.Patience)
	s.Gone = plan.Now()
	h.end()
	text, err := json.Marshal(s)
	must(err)
	_, err = syscall.Write(3, text)
	must(err)
	os.Exit(0)
}

// stageOf describes a process that becomes what is ordered (playStage).
func stageOf(o order) *syscall.ProcAttr {
	text, err := json.Marshal(o)
	must(err)
	env := append(withoutOwn(os.Environ()), roleEnv+"=stage", orderEnv+"="+string(text))
	return &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Env: env}
}

// fork starts this program once more.
func fork(attr *syscall.ProcAttr) (pid int) {
	self, err := os.Executable()
	must(err)
	pid, err = syscall.ForkExec(self, []string{self}, attr)
	must(err)
	return pid
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
	attr := stageOf(o)
	attr.Files[1] = w.Fd()
	attr.Sys = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Setsid: true}
	h.unshare = fork(attr)
	w.Close()
	_, err = io.ReadFull(r, make([]byte, len("ready")))
	must(err)
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", h.unshare, h.unshare))
	must(err)
	h.init, err = strconv.Atoi(strings.TrimSpace(string(children)))
	must(err)
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
		everybody(),
		func(p testkit.Process) bool { return p.PID == h.unshare || p.PID == h.init },
	)
}

// reapAll waits until nobody is there, and returns who is after all.
func (h host) reapAll(patience time.Duration) []testkit.Process {
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
		if all := h.guests(); len(all) == 0 || time.Since(begin) > patience {
			return all
		}
	}
}

func withoutOwn(environ []string) (env []string) {
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "HOSTILE_") && !strings.HasPrefix(kv, "TEST_FINITE_") {
			env = append(env, kv)
		}
	}
	return env
}

// everybody is testkit.Everybody where a failure ends the cage.
func everybody() []testkit.Process {
	all, err := testkit.Everybody()
	must(err)
	return all
}

// playStage becomes the user that the round is about, and then finite.
func playStage(o order) {
	runtime.LockOSThread() // what is set here belongs to a thread
	must(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if roleNamed(o.Role).flags&unix.CLONE_NEWPID != 0 {
		must(unix.Mount("proc", "/proc", "proc", 0, ""))
	}
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
	must(syscall.Exec(o.Args[0], o.Args, append(withoutOwn(os.Environ()), plan.Env+"="+string(text))))
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
