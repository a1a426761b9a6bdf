//go:build amd64 || arm64

package pid1

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/sys"
	"github.com/finite-init/finite/nsutil"
	"github.com/finite-init/finite/signals"
)

// box is the namespaces that the command is started in. The child makes and furnishes them between clone(2) and execve(2): a process with one
// thread may enter a user namespace, which this one may not, and whatever is refused is known before anything has been executed. nil is no box.
type box struct {
	join     []nsutil.NamespaceFile
	ids      [][2]uint64 // of those, device and inode
	unshare  nsutil.Namespaces
	hostname string
	mapRoot  bool
	ranges   *idRanges // nil: only the caller is mapped
	exe      int       // this program's own file, to be executed whatever the mounts are; -1: the command is executed
	self     int       // this process's own pidfd, by which the child notices that it is gone; -1: there is none
	stops    [2]int    // a pipe: the inner one says that its command was stopped by the terminal; -1: there is none
	proc     bool      // there is a /proc to mount on
}

// newBox opens what cfg asks for. It returns nil if that is nothing.
func newBox(cfg *Config) (*box, error) {
	if cfg.Unshare == 0 && len(cfg.Join) == 0 && !cfg.Self {
		return nil, nil
	}
	b := &box{unshare: cfg.Unshare, hostname: cfg.Hostname, mapRoot: cfg.MapRoot, exe: -1, self: -1, stops: [2]int{-1, -1}}
	b.proc = unix.Faccessat(unix.AT_FDCWD, "/proc", unix.F_OK, 0) == nil
	for _, target := range cfg.Join {
		files, err := nsutil.OpenNamespaces(target)
		if err != nil {
			b.close()
			return nil, &UsageError{"Join", target, err.Error()}
		}
		b.add(files)
	}
	if b.joins(nsutil.TimeNamespace) {
		b.close()
		return nil, &UsageError{"Join", strings.Join(cfg.Join, " "), "a time namespace cannot be joined by a program that has threads (setns(2))"}
	}
	if b.joins(nsutil.PIDNamespace) && b.unshare.Has(nsutil.PIDNamespace) {
		b.close()
		return nil, &UsageError{"Unshare", cfg.Unshare, "no PID namespace can be made together with one that is joined"} // unshare(2), EINVAL
	}
	if b.unshare.Has(nsutil.UserNamespace) {
		b.ranges = findRanges(cfg.MapRoot)
	}
	if cfg.Self {
		if err := b.openSelf(); err != nil {
			b.close()
			return nil, err
		}
	}
	return b, nil
}

// add adds files of namespaces, each namespace once: a user namespace cannot be joined twice.
func (b *box) add(files []nsutil.NamespaceFile) {
	for _, f := range files {
		var st unix.Stat_t
		err := unix.Fstat(f.FD, &st)
		id := [2]uint64{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev is an uint32 on other architectures
		if err == nil && slices.Contains(b.ids, id) {
			_ = unix.Close(f.FD)
			continue
		}
		b.ids, b.join = append(b.ids, id), append(b.join, f)
	}
}

// seal has a copy of this program executed that nobody can write to. A container that is joined sees the inner one as a process of its own, and whoever is
// root there could otherwise overwrite, through its /proc/PID/exe, the very file that is executed outside (CVE-2019-5736).
func (b *box) seal() error {
	from, err := unix.Open("/proc/self/fd/"+strconv.Itoa(b.exe), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(from) }()
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("finite", flags|unix.MFD_EXEC) // Linux 6.3
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate("finite", flags)
	}
	if err != nil {
		return err
	}
	for {
		n, err := unix.Sendfile(fd, from, nil, 1<<30)
		if err != nil && err != unix.EINTR {
			_ = unix.Close(fd)
			return err
		}
		if err == nil && n == 0 {
			break
		}
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		_ = unix.Close(fd)
		return err
	}
	_ = unix.Close(b.exe)
	b.exe = fd
	return nil
}

func (b *box) openSelf() error {
	const flags = unix.O_PATH | unix.O_CLOEXEC
	fd, err := unix.Open("/proc/self/exe", flags, 0)
	if err != nil {
		var path string
		if path, err = lookPath(os.Args[0], signals.Environ()); err == nil {
			fd, err = unix.Open(path, flags, 0)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot find this program's own file: %w", err)
	}
	b.exe = fd
	if len(b.join) > 0 {
		if err := b.seal(); err != nil {
			return fmt.Errorf("cannot make a copy of this program in memory: %w", err)
		}
	}
	if err := unix.Pipe2(b.stops[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	if b.self, err = sys.PidfdOpen(unix.Getpid()); err != nil {
		b.self = -1
	}
	return nil
}

func (b *box) close() {
	if b == nil {
		return
	}
	nsutil.CloseNamespaces(b.join)
	b.join = nil
	for _, fd := range []*int{&b.exe, &b.self, &b.stops[0], &b.stops[1]} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
		}
		*fd = -1
	}
}

// takeStops returns the end of the pipe by which the inner one tells of stops, which is the caller's then; nil if there is none.
func (b *box) takeStops() *sys.File {
	if b == nil || b.stops[0] < 0 {
		return nil
	}
	fd := b.stops[0]
	b.stops[0] = -1
	file, err := sys.NewFile(fd, "stops")
	if err != nil {
		return nil
	}
	return file
}

// executes reports whether it is this program that is executed.
func (b *box) executes() bool { return b != nil && b.exe >= 0 }

// calls returns how many calls enter adds, at most.
func (b *box) calls() int {
	if b == nil {
		return 0
	}
	return 4*len(b.join) + 40
}

// joins reports whether a namespace of this kind is joined.
func (b *box) joins(kind nsutil.Namespaces) bool {
	return slices.ContainsFunc(b.join, func(f nsutil.NamespaceFile) bool { return f.Kind == kind })
}

// forks reports whether the child has a child.
func (b *box) forks() bool {
	return b != nil && (b.unshare.Has(nsutil.PIDNamespace) || b.joins(nsutil.PIDNamespace))
}

// enter adds the calls that make the box and go into it.
func (b *box) enter(p *program) {
	if b == nil {
		return
	}
	p.step = StepMapIDs
	self := len(p.calls)
	if b.unshare.Has(nsutil.UserNamespace) && b.ranges == nil {
		for range 3 { // before a /proc is joined that does not know this process; one for each file, since a result goes to one place
			p.add(mustCall, unix.SYS_OPENAT, uintptr(atFDCWD), p.text("/proc/self"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
	}
	p.step = StepJoin
	for _, f := range b.join {
		p.add(mustCall, unix.SYS_SETNS, uintptr(f.FD), uintptr(f.Kind))
		if f.Kind == nsutil.UserNamespace { // whoever this is there, root is the one who can go on; not if nobody is mapped
			p.add(mayCall, unix.SYS_SETGROUPS, 0, 0)
			p.add(mayCall, unix.SYS_SETGID, 0)
			p.add(mayCall, unix.SYS_SETUID, 0)
		}
	}
	p.step = StepUnshare
	if b.unshare != 0 {
		p.add(mustCall, unix.SYS_UNSHARE, uintptr(b.unshare))
	}
	if b.unshare.Has(nsutil.UserNamespace) {
		p.step = StepMapIDs
		b.mapIDs(p, self)
	}
	if b.forks() {
		// The namespace is that of children only. The new one is a child of this process, as its parent was, which is done.
		p.step = StepClone
		// It shares this process's memory until it executes something, and whoever is root in a container that is joined may otherwise write to that.
		p.add(mayCall, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
		p.add(forkCall, unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_VFORK|unix.CLONE_PARENT|uintptr(unix.SIGCHLD), 0, 0, 0, 0)
	}
	p.step = StepMount
	if b.joins(nsutil.PIDNamespace) && !b.joins(nsutil.MountNamespace) && !b.unshare.Has(nsutil.MountNamespace) && b.proc {
		// The /proc here is another namespace's: nobody could be found by it. Where a fresh one may not be mounted, it has to do.
		p.add(mustCall, unix.SYS_UNSHARE, unix.CLONE_NEWNS)
		p.makeMountsPrivate()
		p.mountProc(mayCall)
	}
	if b.unshare.Has(nsutil.MountNamespace) {
		p.makeMountsPrivate()
		if b.unshare.Has(nsutil.PIDNamespace) && b.proc {
			p.mountProc(mustCall)
		}
	}
	p.step = StepLoopback
	if b.unshare.Has(nsutil.NetworkNamespace) {
		b.raiseLoopback(p)
	}
	p.step = StepHostname
	if b.hostname != "" {
		p.add(mustCall, unix.SYS_SETHOSTNAME, p.text(b.hostname), uintptr(len(b.hostname)))
	}
	if b.executes() {
		b.tie(p)
	}
}

// makeMountsPrivate keeps what is mounted from going out of the mount namespace, and what is mounted outside from coming in.
func (p *program) makeMountsPrivate() {
	p.add(mustCall, unix.SYS_MOUNT, p.text("none"), p.text("/"), 0, unix.MS_REC|unix.MS_PRIVATE, 0)
}

func (p *program) mountProc(kind uintptr) {
	p.add(kind, unix.SYS_MOUNT, p.text("proc"), p.text("/proc"), p.text("proc"), unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, 0)
}

// tie makes the inner one end with this process, however this one ends. Where a PID namespace is made, that is the end of everybody in it; an inner
// one that is a guest in another's cannot be killed without leaving its command behind, so it watches this process by itself.
func (b *box) tie(p *program) {
	p.step = StepClone
	p.add(mustCall, unix.SYS_FCNTL, uintptr(b.stops[1]), unix.F_SETFD, 0)
	if b.unshare.Has(nsutil.PIDNamespace) {
		p.add(mustCall, unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	}
	if b.self < 0 {
		return
	}
	// It may have ended before that. Its pidfd is readable then.
	gone := &unix.PollFd{Fd: int32(b.self), Events: unix.POLLIN}
	p.add(zeroCall, unix.SYS_PPOLL, pointer(p, gone), 1, pointer(p, new(unix.Timespec)), 0, 0)
	// A thread of it may have ended before that, and others not yet: the signal has been sent by then, and
	// the pidfd is readable later. So the inner one goes on watching.
	p.add(mustCall, unix.SYS_FCNTL, uintptr(b.self), unix.F_SETFD, 0)
}

// raiseLoopback sets the flag IFF_UP of lo (netdevice(7)).
func (b *box) raiseLoopback(p *program) {
	request := new([40]byte) // struct ifreq
	copy(request[:], "lo")
	*(*uint16)(unsafe.Pointer(&request[unix.IFNAMSIZ])) = unix.IFF_UP | unix.IFF_RUNNING
	p.add(mustCall, unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	p.storeFrom(len(p.calls)-1, len(p.calls))
	p.add(mustCall, unix.SYS_IOCTL, 0, unix.SIOCSIFFLAGS, pointer(p, request))
}

// mapIDs maps the caller to root, or to itself, and, where there are ranges for that, others as well (user_namespaces(7)). self is the first of three calls
// that have opened /proc/self.
func (b *box) mapIDs(p *program, self int) {
	if b.ranges != nil {
		b.ranges.await(p)
		return
	}
	write := func(file, text string) {
		p.storeFrom(self, len(p.calls))
		self++
		p.add(mustCall, unix.SYS_OPENAT, 0, p.text(file), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		p.storeFrom(len(p.calls)-1, len(p.calls))
		p.add(mustCall, unix.SYS_WRITE, 0, p.text(text), uintptr(len(text)))
	}
	write("setgroups", "deny") // without which an unprivileged process may map no group
	write("uid_map", singleMap(b.mapRoot, unix.Geteuid()))
	write("gid_map", singleMap(b.mapRoot, unix.Getegid()))
}

// atFDCWD is AT_FDCWD in a register.
var atFDCWD = unix.AT_FDCWD

// singleMap maps nobody but id.
func singleMap(root bool, id int) string { return strings.Join(idMap(root, id, 0, 0), " ") }

// assist runs vfork, and meanwhile does what the child waits for.
func (b *box) assist(vfork func()) {
	if b == nil || b.ranges == nil {
		vfork()
		return
	}
	b.ranges.assist(vfork)
}

// failure is why a step failed, where the child could not know it.
func (b *box) failure(err error) error {
	if b.ranges != nil && b.ranges.err != nil {
		return b.ranges.err
	}
	return err
}

// describe names what was asked for, for an error at a step.
func (b *box) describe(step Step, join []string, err error) error {
	switch step {
	case StepJoin:
		return fmt.Errorf("--join %s: %w", strings.Join(join, " "), err)
	case StepUnshare:
		return fmt.Errorf("--unshare %v: %w", b.unshare, err)
	case StepMapIDs, StepMount, StepLoopback:
		return fmt.Errorf("--unshare %v: %s: %w", b.unshare, step, err)
	case StepHostname:
		return fmt.Errorf("--hostname %s: %w", b.hostname, err)
	}
	return err
}
