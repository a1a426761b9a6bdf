//go:build amd64 || arm64

package pid1

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe" // also for go:linkname

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/reap"
	"github.com/finite-init/finite/signals"
)

// launch is what the assembly needs to make a child that becomes the command. It knows the offsets; a test compares them.
type launch struct {
	calls   *call       // what the child does; the last one is the execution
	flags   uint64      // for clone(2)
	blocked signals.Set // all
	before  signals.Set // the thread's mask, put back at the end
	slack   int64       // timer slack in ns; 0: as it is
	precise int64       // the thread's own, put back at the end
	failed  uintptr     // the call that failed
	pidfd   int32       // -1 where the kernel gave none
	pid     int32       // an error where it is below 0
	second  int32       // the child's child, where a call made one: this process's child as well, and the command
	errno   int32       // why the call failed; 0 or less: it returned what it must not
	size    uint64      // of args
	args    [11]uint64  // struct clone_args, of which the assembly fills in pidfd; flags 0: clone(2) does it
}

// Where they are in struct clone_args (clone(2)).
const (
	argsFlags      = 0
	argsExitSignal = 4
	argsCgroup     = 10

	sizeBeforeCgroup = 64 // CLONE_ARGS_SIZE_VER0
	sizeWithCgroup   = 88 // CLONE_ARGS_SIZE_VER2
)

// call is one system call that the child makes.
type call struct {
	nr    uintptr
	args  [5]uintptr
	store uintptr // the address of a word that takes the result; 0: none
	kind  uintptr
}

// Kinds of calls, by what may come of them.
const (
	mustCall = iota // an error ends the child, and the start
	mayCall         // an error is passed over
	zeroCall        // so does any result but 0
	someCall        // so does the result 0
	forkCall        // clone(2): the child that makes it exits, and its child goes on
)

// program is what a child does between clone(2) and execve(2), which cannot be Go code: the child has one thread, and shares the memory of all
// of the parent's. What the calls point to is in room, or is kept alive, where it is, by keep.
type program struct {
	launch launch
	calls  []call
	steps  []Step // of each call
	step   Step   // of the calls that are added
	keep   []any

	// Room for what most commands need.
	room struct {
		calls   [20]call
		steps   [20]Step
		keep    [20]any
		actions [2][4]uint64
		ran     uint64
	}
}

func newProgram(room int) *program {
	p := &program{}
	p.calls, p.steps, p.keep = p.room.calls[:0], p.room.steps[:0], p.room.keep[:0]
	if room > len(p.room.calls) {
		p.calls, p.steps = make([]call, 0, room), make([]Step, 0, room)
	}
	return p
}

// add appends a call. The address of its arguments is good until there is no room for more: see storeFrom.
func (p *program) add(kind uintptr, nr uintptr, args ...uintptr) {
	if len(p.calls) == cap(p.calls) {
		panic("no room for another call") // storeFrom may have taken addresses
	}
	c := call{nr: nr, kind: kind}
	copy(c.args[:], args)
	p.calls = append(p.calls, c)
	p.steps = append(p.steps, p.step)
}

// storeFrom has the result of one call put into the first argument of a later one, which need not have been added yet.
func (p *program) storeFrom(from, to int) {
	p.calls[from].store = uintptr(unsafe.Pointer(&p.calls[:to+1][to].args[0]))
}

// pointer returns the address of what v points to, which is kept.
func pointer[T any](p *program, v *T) uintptr {
	p.keep = append(p.keep, v)
	return uintptr(unsafe.Pointer(v))
}

func (p *program) begin(step Step)           { p.step = step }
func (p *program) next() int                 { return len(p.calls) }
func (p *program) data(b []byte) uintptr     { return pointer(p, &b[0]) }
func (p *program) descriptor(fd int) uintptr { return uintptr(fd) }
func (p *program) awaitRanges(r *idRanges)   { r.await(p) }

func (p *program) fork() {
	p.add(forkCall, unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0, 0, 0, 0)
}

// text returns the address of s as C has strings. Without a zero byte in it, that is.
func (p *program) text(s string) uintptr {
	b := append([]byte(s), 0)
	return pointer(p, &b[0])
}

// vfork makes a child that makes the calls, and returns when it has executed the command, or could not.
//
//go:noescape
func vfork(l *launch)

// The runtime's own words before and after a system call that may take long, which it keeps open to others (runtime, "Notable members of the
// hall of shame"). Nothing between them may need more stack.
//
//go:linkname entersyscall runtime.entersyscall
func entersyscall()

//go:linkname exitsyscall runtime.exitsyscall
func exitsyscall()

// vforkAway is vfork for an execution that may hang, on a file system that does not answer: other goroutines go on meanwhile, also if there
// is one processor only.
//
//go:nosplit
//go:norace
func vforkAway(l *launch) {
	entersyscall()
	vfork(l)
	exitsyscall()
}

// errOther says that a call of the child returned what it must not.
var errOther = errors.New("the process that starts it is gone")

// forkInherited starts a command with exactly the signal mask, the ignored set and the limit of open files that this process was started
// with, and the same timer slack. That takes code between clone(2) and execve(2) that cannot be written in Go: syscall.ForkExec leaves no signal ignored that the
// runtime handles, and a second program that puts things right before it executes the command would have to be found by a path.
func forkInherited(how forkMode, cfg *Config, path string, args, env []string) (child, error) {
	in := &cfg.inherited
	room := in.Ignored.Len()
	if !how.clear {
		room = int(signals.RTMax)
	}
	p := newProgram(cfg.box.calls() + room + 12)
	l := &p.launch
	*l = launch{
		flags:   unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD),
		blocked: ^signals.Set(0),
		pidfd:   -1,
		slack:   int64(in.TimerSlack),
		size:    sizeBeforeCgroup,
	}
	if how.pidfd {
		l.flags |= unix.CLONE_PIDFD
	}
	if how.clear {
		l.args[argsFlags] = l.flags&^0xff | unix.CLONE_CLEAR_SIGHAND
		l.args[argsExitSignal] = uint64(unix.SIGCHLD)
		if how.cgroup >= 0 && !how.move {
			l.args[argsFlags] |= unix.CLONE_INTO_CGROUP
			l.args[argsCgroup] = uint64(how.cgroup)
			l.size = sizeWithCgroup
		}
	}
	var ran *uint64
	if how.cgroup >= 0 {
		if ran = &p.room.ran; !how.clear {
			ran = sharedWord()
		}
		p.enterCgroup(how, ran)
	}
	cfg.box.enter(p)
	p.dispositions(in.Ignored, how.clear)
	if err := p.execute(how, cfg, path, args, env); err != nil {
		return child{}, err
	}
	l.calls = &p.calls[0]
	dumpable, _ := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	cfg.box.assist(func() { vforkAway(l) })
	runtime.KeepAlive(p)
	if cfg.box != nil && dumpable == 1 { // the child may have changed what is the memory's
		_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	}
	c := child{pid: int(l.pid), pidfd: int(l.pidfd), how: how}
	if l.pid < 0 {
		return child{}, &cloneError{syscall.Errno(-l.pid)}
	}
	if l.second > 0 { // with whom the first one is done
		reap.Discard(c.pid)
		c.pid = int(l.second)
		c.dropPidfd()
		if how.pidfd {
			c.pidfd, _ = sys.PidfdOpen(c.pid) // not reaped before it is known
		}
	}
	if how.cgroup >= 0 && !hasRun(ran, c.pid, how.clear) {
		// If cgroup.kill was ever written in the cgroup of this process, Linux (6.18 for one) kills whoever is cloned from there into another at once.
		c.dropPidfd()
		reap.Discard(c.pid)
		return child{}, fmt.Errorf("%w: it was killed there before it ran", errCgroup)
	}
	if l.failed == 0 && l.second == 0 && cfg.box.forks() {
		// Somebody has killed the first child: this thread goes on, although the second one is there, and still uses what the list of calls points to. It
		// ends with this process (see tie).
		abandoned = append(abandoned, p)
		c.dropPidfd()
		reap.Discard(c.pid)
		return child{}, &startError{StepClone, errOther}
	}
	if l.failed == 0 {
		return c, nil
	}
	c.dropPidfd()
	reap.Discard(c.pid)
	at := (l.failed - uintptr(unsafe.Pointer(l.calls))) / unsafe.Sizeof(call{})
	if step := p.steps[at]; step == StepCgroup {
		return child{}, fmt.Errorf("%w: %w", errCgroup, l.failure())
	} else if step != "" {
		return child{}, &startError{step, cfg.box.failure(l.failure())}
	}
	return child{}, l.failure()
}

// shared is one page, made when it is needed first.
var shared []byte

// sharedWord returns a word that is 0, and that the child writes for this process to see also where its memory is a copy: QEMU's user mode has no
// CLONE_VM and no CLONE_VFORK for processes. It has no clone3(2) either.
func sharedWord() *uint64 {
	if shared == nil {
		var err error
		if shared, err = unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS); err != nil {
			return new(uint64)
		}
	}
	word := (*uint64)(unsafe.Pointer(&shared[0]))
	*word = 0
	return word
}

// hasRun reports whether a child has written its word, and waits until it has, or has ended. If the word is in memory that is shared by CLONE_VM, it was written before
// clone3(2) returned, and who has not done so is ending; if that takes longer than a second, the memory must be a copy after all, and the child runs.
func hasRun(word *uint64, pid int, vm bool) bool {
	for begin := time.Now(); atomic.LoadUint64(word) == 0 && !reap.HasEnded(pid); {
		if vm && time.Since(begin) > time.Second {
			return true
		}
		sys.Yield()
	}
	return atomic.LoadUint64(word) != 0
}

// abandoned is the memory that a child may use which was not waited for.
var abandoned []any

// failure is what a call failed with.
func (l *launch) failure() error {
	if l.errno > 0 {
		return syscall.Errno(l.errno)
	}
	return errOther
}

func (c *child) dropPidfd() {
	if c.pidfd >= 0 {
		_ = unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// enterCgroup adds what puts the child into its cgroup, if the clone does not, and has it say that it runs.
func (p *program) enterCgroup(how forkMode, ran *uint64) {
	p.step = StepCgroup
	p.add(mayCall, unix.SYS_GETPID)
	p.calls[len(p.calls)-1].store = pointer(p, ran)
	if !how.move {
		return
	}
	p.add(mustCall, unix.SYS_OPENAT, uintptr(how.cgroup), p.text("cgroup.procs"), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	p.storeFrom(len(p.calls)-1, len(p.calls))
	p.add(mustCall, unix.SYS_WRITE, 0, p.text("0"), 1) // itself
}

// dispositions adds what makes every disposition the default, or SIG_IGN where it was inherited so. If the clone has seen to the former, that is not
// done again.
func (p *program) dispositions(ignored signals.Set, cleared bool) {
	const size = 8 // of a signal set
	actions := &p.room.actions
	actions[1][0] = 1 // SIG_IGN; SIG_DFL is 0
	for sig := unix.Signal(1); sig <= signals.RTMax; sig++ {
		action := &actions[0]
		if ignored.Has(sig) {
			action = &actions[1]
		} else if cleared {
			continue
		}
		p.add(mayCall, unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(action)), 0, size) // fails for SIGKILL and SIGSTOP
	}
}

// execute adds the rest: a process group of its own, the terminal, the limit of open files, the directory, the mask, the command.
func (p *program) execute(how forkMode, cfg *Config, path string, args, env []string) error {
	argv, err := cStrings(args)
	if err != nil {
		return err
	}
	envv, err := cStrings(env)
	if err != nil {
		return err
	}
	if strings.IndexByte(path, 0) >= 0 || strings.IndexByte(cfg.Dir, 0) >= 0 {
		return syscall.EINVAL
	}
	p.step = ""
	p.add(mayCall, unix.SYS_SETPGID, 0, 0)
	if how.tty >= 0 { // whether that goes well the parent asks the terminal
		self := new(uint64)
		p.add(mayCall, unix.SYS_GETPID)
		p.calls[len(p.calls)-1].store = pointer(p, self)
		p.add(mayCall, unix.SYS_IOCTL, uintptr(how.tty), unix.TIOCSPGRP, uintptr(unsafe.Pointer(self)))
	}
	if files := &cfg.inherited.Files; files.Max > 0 { // the runtime has raised it
		p.add(mayCall, unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, pointer(p, files), 0)
	}
	if cfg.Dir != "" {
		p.add(mustCall, unix.SYS_CHDIR, p.text(cfg.Dir))
	}
	p.add(mayCall, unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, pointer(p, &cfg.inherited.Mask), 0, 8)
	p.add(mustCall, unix.SYS_EXECVE, p.text(path), pointer(p, &argv[0]), pointer(p, &envv[0]))
	return nil
}

// cStrings returns what execve(2) wants for a list of strings. All of them are in one block of memory.
func cStrings(list []string) ([]*byte, error) {
	size := 0
	for _, s := range list {
		if strings.IndexByte(s, 0) >= 0 {
			return nil, syscall.EINVAL
		}
		size += len(s) + 1
	}
	block := make([]byte, size)
	pointers := make([]*byte, len(list)+1)
	for i, s := range list {
		pointers[i] = &block[0]
		block = block[copy(block, s)+1:]
	}
	return pointers, nil
}
