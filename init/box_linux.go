//go:build amd64 || arm64

package pid1

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
)

// box is the namespaces that the command is started in. The child makes and furnishes them between
// clone(2) and execve(2): a process with one thread may enter a user namespace, which this one may
// not, and whatever is refused is known before anything has been executed. nil is no box.
type box struct {
	join     []nsutil.NamespaceFile
	ids      [][2]uint64 // of those, device and inode
	unshare  nsutil.Namespaces
	hostname string
	mapRoot  bool
	ranges   *idRanges // nil: only the caller is mapped
	proc     bool      // there is a /proc to mount on
}

// newBox opens what cfg asks for. It returns nil if that is nothing.
func newBox(cfg *Config) (*box, error) {
	if cfg.Unshare == 0 && len(cfg.Join) == 0 {
		return nil, nil
	}
	b := &box{unshare: cfg.Unshare, hostname: cfg.Hostname, mapRoot: cfg.MapRoot}
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

func (b *box) close() {
	nsutil.CloseNamespaces(b.join)
	b.join = nil
}

// calls returns how many calls a plan for it has, at most.
func (b *box) calls() int { return 4*len(b.join) + 40 }

// joins reports whether a namespace of this kind is joined.
func (b *box) joins(kind nsutil.Namespaces) bool {
	return slices.ContainsFunc(b.join, func(f nsutil.NamespaceFile) bool { return f.Kind == kind })
}

// forks reports whether the child has a child.
func (b *box) forks() bool {
	return b.unshare.Has(nsutil.PIDNamespace) || b.joins(nsutil.PIDNamespace)
}

// enter adds the calls that make the box and go into it.
func (b *box) enter(p *planned) {
	p.begin(StepMapIDs)
	if b.unshare.Has(nsutil.UserNamespace) { // the files of a process that is not dumpable are root's (proc(5))
		p.add(keeper.MayCall, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)
	}
	self := p.next()
	if b.unshare.Has(nsutil.UserNamespace) && b.ranges == nil {
		for range 3 { // before a /proc is joined that does not know this process; one for each file, since a result goes to one place
			p.add(keeper.MustCall, unix.SYS_OPENAT, uintptr(atFDCWD), p.text("/proc/self"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
	}
	p.begin(StepJoin)
	for _, f := range b.join {
		p.add(keeper.MustCall, unix.SYS_SETNS, p.descriptor(f.FD), uintptr(f.Kind))
		if f.Kind == nsutil.UserNamespace { // whoever this is there, root is the one who can go on; not if nobody is mapped
			p.add(keeper.MayCall, unix.SYS_SETGROUPS, 0, 0)
			p.add(keeper.MayCall, unix.SYS_SETGID, 0)
			p.add(keeper.MayCall, unix.SYS_SETUID, 0)
		}
	}
	p.begin(StepUnshare)
	if b.unshare != 0 {
		p.add(keeper.MustCall, unix.SYS_UNSHARE, uintptr(b.unshare))
	}
	if b.unshare.Has(nsutil.UserNamespace) {
		p.begin(StepMapIDs)
		b.mapIDs(p, self)
		p.add(keeper.MayCall, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	}
	if b.forks() {
		// The namespace is that of children only. The new one is a child of this process's parent,
		// and this process is done.
		p.begin(StepClone)
		p.fork()
	}
	p.begin(StepMount)
	if b.joins(nsutil.PIDNamespace) && !b.joins(nsutil.MountNamespace) && !b.unshare.Has(nsutil.MountNamespace) && b.proc {
		// The /proc here is another namespace's: nobody could be found by it. Where a fresh one may
		// not be mounted, it has to do.
		p.add(keeper.MustCall, unix.SYS_UNSHARE, unix.CLONE_NEWNS)
		makeMountsPrivate(p)
		mountProc(p, keeper.MayCall)
	}
	if b.unshare.Has(nsutil.MountNamespace) {
		makeMountsPrivate(p)
		if b.unshare.Has(nsutil.PIDNamespace) && b.proc {
			mountProc(p, keeper.MustCall)
		}
	}
	p.begin(StepLoopback)
	if b.unshare.Has(nsutil.NetworkNamespace) {
		b.raiseLoopback(p)
	}
	p.begin(StepHostname)
	if b.hostname != "" {
		p.add(keeper.MustCall, unix.SYS_SETHOSTNAME, p.text(b.hostname), uintptr(len(b.hostname)))
	}
}

// makeMountsPrivate keeps what is mounted from going out of the mount namespace, and what is
// mounted outside from coming in.
func makeMountsPrivate(p *planned) {
	p.add(keeper.MustCall, unix.SYS_MOUNT, p.text("none"), p.text("/"), 0, unix.MS_REC|unix.MS_PRIVATE, 0)
}

func mountProc(p *planned, kind int64) {
	p.add(kind, unix.SYS_MOUNT, p.text("proc"), p.text("/proc"), p.text("proc"), unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, 0)
}

// raiseLoopback sets the flag IFF_UP of lo (netdevice(7)).
func (b *box) raiseLoopback(p *planned) {
	request := make([]byte, 40) // struct ifreq
	copy(request, "lo")
	binary.NativeEndian.PutUint16(request[unix.IFNAMSIZ:], unix.IFF_UP|unix.IFF_RUNNING)
	p.add(keeper.MustCall, unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	p.plan.StoreIn(p.next()-1, p.next())
	p.add(keeper.MustCall, unix.SYS_IOCTL, 0, unix.SIOCSIFFLAGS, p.data(request))
}

// mapIDs maps the caller to root, or to itself, and, where there are ranges for that, others as
// well (user_namespaces(7)). self is the first of three calls that have opened /proc/self.
func (b *box) mapIDs(p *planned, self int) {
	if b.ranges != nil {
		p.awaitRanges()
		return
	}
	write := func(file, text string) {
		p.plan.StoreIn(self, p.next())
		self++
		p.add(keeper.MustCall, unix.SYS_OPENAT, 0, p.text(file), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		p.plan.StoreIn(p.next()-1, p.next())
		p.add(keeper.MustCall, unix.SYS_WRITE, 0, p.text(text), uintptr(len(text)))
	}
	write("setgroups", "deny") // without which an unprivileged process may map no group
	write("uid_map", singleMap(b.mapRoot, unix.Geteuid()))
	write("gid_map", singleMap(b.mapRoot, unix.Getegid()))
}

// atFDCWD is AT_FDCWD in a register.
var atFDCWD = unix.AT_FDCWD

// singleMap maps nobody but id.
func singleMap(root bool, id int) string { return strings.Join(idMap(root, id, 0, 0), " ") }

// describe names what was asked for, for an error at a step.
func (b *box) describe(step Step, join []string, err error) error {
	if words := b.words(step, join); words != "" {
		return fmt.Errorf("%s: %w", words, err)
	}
	return err
}

// mostWords is how many bytes of an option's values an error names: a plan has little room for
// text.
const mostWords = 1000

func cut(values string) string {
	if len(values) > mostWords {
		return values[:mostWords] + "…"
	}
	return values
}

// words are what a step is about, in the words of the options.
func (b *box) words(step Step, join []string) string {
	switch step {
	case StepJoin:
		return "--join " + cut(strings.Join(join, " "))
	case StepUnshare:
		return "--unshare " + b.unshare.String()
	case StepMapIDs, StepMount, StepLoopback:
		return "--unshare " + b.unshare.String() + ": " + string(step)
	case StepHostname:
		return "--hostname " + b.hostname
	}
	return ""
}
