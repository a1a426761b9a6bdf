//go:build amd64 || arm64

package spawn

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/init/ending"
	"github.com/finite-init/finite/init/internal/usage"
	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/nsutil"
)

// Wanted is what a caller wants of namespaces.
type Wanted struct {
	Unshare  nsutil.Namespaces
	Join     []nsutil.NamespaceFile
	Targets  []string // what Join was opened by
	Hostname string
	MapRoot  bool // in a new user namespace the caller is root
}

// Namespaces are those that the command is started in. A process with one thread makes and
// furnishes them: such a process may enter a user namespace, which this one may not.
type Namespaces struct {
	Wanted
	ranges *idRanges // nil: only the caller is mapped
	proc   bool      // there is a /proc to mount on
}

// NewNamespaces takes over the files of the namespaces that are joined.
func NewNamespaces(w Wanted) (*Namespaces, error) {
	n := &Namespaces{Wanted: w}
	n.Join = eachOnce(w.Join)
	n.proc = unix.Faccessat(unix.AT_FDCWD, "/proc", unix.F_OK, 0) == nil
	var err error
	switch {
	case n.joins(nsutil.TimeNamespace):
		err = &usage.Error{
			Field: "Join",
			Value: strings.Join(w.Targets, " "),
			Why:   "a time namespace cannot be joined by a program that has threads (setns(2))",
		}
	case n.joins(nsutil.PIDNamespace) && n.Unshare.Has(nsutil.PIDNamespace): // unshare(2), EINVAL
		err = &usage.Error{
			Field: "Unshare",
			Value: n.Unshare,
			Why:   "no PID namespace can be made together with one that is joined",
		}
	case n.calls() > maxCalls:
		err = &usage.Error{Field: "Join", Value: strconv.Itoa(len(n.Join)), Why: "too many namespaces"}
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	if n.Unshare.Has(nsutil.UserNamespace) {
		n.ranges = findRanges(n.MapRoot)
	}
	return n, nil
}

// eachOnce closes the second file of a namespace: a user namespace cannot be joined twice.
func eachOnce(files []nsutil.NamespaceFile) (once []nsutil.NamespaceFile) {
	var ids [][2]uint64
	for _, f := range files {
		var st unix.Stat_t
		err := unix.Fstat(f.FD, &st)
		id := [2]uint64{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev is an uint32 on other architectures
		if err == nil && slices.Contains(ids, id) {
			_ = unix.Close(f.FD)
			continue
		}
		ids, once = append(ids, id), append(once, f)
	}
	return once
}

// Close closes the files of the namespaces that are joined.
func (n *Namespaces) Close() {
	nsutil.CloseNamespaces(n.Join)
	n.Join = nil
}

// maxCalls is how many calls a plan has room for.
const maxCalls = len(keeper.Plan{}.Calls)

// calls returns how many calls a plan for it has, at most.
func (n *Namespaces) calls() int { return 4*len(n.Join) + 40 }

// joins reports whether a namespace of this kind is joined.
func (n *Namespaces) joins(kind nsutil.Namespaces) bool {
	return slices.ContainsFunc(n.Join, func(f nsutil.NamespaceFile) bool { return f.Kind == kind })
}

// forks reports whether the child has a child.
func (n *Namespaces) forks() bool {
	return n.Unshare.Has(nsutil.PIDNamespace) || n.joins(nsutil.PIDNamespace)
}

// enter adds the calls that make the namespaces and go into them.
func (n *Namespaces) enter(p *CallList) {
	p.begin(ending.StepMapIDs)
	if n.Unshare.Has(nsutil.UserNamespace) { // the files of a process that is not dumpable are root's (proc(5))
		p.add(keeper.MayCall, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1)
	}
	self := p.next()
	if n.Unshare.Has(nsutil.UserNamespace) && n.ranges == nil {
		// Before a /proc is joined that does not know this process; one for each file, since a
		// result goes to one place.
		for range 3 {
			p.add(keeper.MustCall, unix.SYS_OPENAT,
				uintptr(atFDCWD), p.text("/proc/self"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
	}
	n.joinAll(p)
	n.unshareAll(p, self)
	p.begin(ending.StepMount)
	n.mountAll(p)
	p.begin(ending.StepLoopback)
	if n.Unshare.Has(nsutil.NetworkNamespace) {
		n.raiseLoopback(p)
	}
	p.begin(ending.StepHostname)
	if n.Hostname != "" {
		p.add(keeper.MustCall, unix.SYS_SETHOSTNAME, p.text(n.Hostname), uintptr(len(n.Hostname)))
	}
}

func (n *Namespaces) joinAll(p *CallList) {
	p.begin(ending.StepJoin)
	for _, f := range n.Join {
		p.add(keeper.MustCall, unix.SYS_SETNS, p.descriptor(f.FD), uintptr(f.Kind))
		// In the joined namespace root has the rights to go on. Where no ID is mapped, there is no
		// root.
		if f.Kind == nsutil.UserNamespace {
			p.add(keeper.MayCall, unix.SYS_SETGROUPS, 0, 0)
			p.add(keeper.MayCall, unix.SYS_SETGID, 0)
			p.add(keeper.MayCall, unix.SYS_SETUID, 0)
		}
	}
}

// unshareAll makes the namespaces. self is the first of three calls that have opened /proc/self.
func (n *Namespaces) unshareAll(p *CallList, self int) {
	p.begin(ending.StepUnshare)
	if n.Unshare != 0 {
		p.add(keeper.MustCall, unix.SYS_UNSHARE, uintptr(n.Unshare))
	}
	if n.Unshare.Has(nsutil.UserNamespace) {
		p.begin(ending.StepMapIDs)
		n.mapIDs(p, self)
		p.add(keeper.MayCall, unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	}
	if n.forks() {
		// The namespace is that of children only. The new one is a child of this process's parent,
		// and this process is done.
		p.begin(ending.StepClone)
		p.fork()
	}
}

func (n *Namespaces) mountAll(p *CallList) {
	ownMounts := n.joins(nsutil.MountNamespace) || n.Unshare.Has(nsutil.MountNamespace)
	if n.joins(nsutil.PIDNamespace) && !ownMounts && n.proc {
		// The /proc here is another namespace's: no process could be found by it. Where a fresh one
		// may not be mounted, it has to do.
		p.add(keeper.MustCall, unix.SYS_UNSHARE, unix.CLONE_NEWNS)
		makeMountsPrivate(p)
		mountProc(p, keeper.MayCall)
	}
	if n.Unshare.Has(nsutil.MountNamespace) {
		makeMountsPrivate(p)
		if n.Unshare.Has(nsutil.PIDNamespace) && n.proc {
			mountProc(p, keeper.MustCall)
		}
	}
}

// makeMountsPrivate keeps what is mounted from going out of the mount namespace, and what is
// mounted outside from coming in.
func makeMountsPrivate(p *CallList) {
	p.add(keeper.MustCall, unix.SYS_MOUNT, p.text("none"), p.text("/"), 0, unix.MS_REC|unix.MS_PRIVATE, 0)
}

func mountProc(p *CallList, kind int64) {
	p.add(
		kind,
		unix.SYS_MOUNT,
		p.text("proc"),
		p.text("/proc"),
		p.text("proc"),
		unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC,
		0,
	)
}

// raiseLoopback sets the flag IFF_UP of lo (netdevice(7)).
func (n *Namespaces) raiseLoopback(p *CallList) {
	request := make([]byte, 40) // struct ifreq
	copy(request, "lo")
	binary.NativeEndian.PutUint16(request[unix.IFNAMSIZ:], unix.IFF_UP|unix.IFF_RUNNING)
	p.add(keeper.MustCall, unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	p.plan.StoreIn(p.next()-1, p.next())
	p.add(keeper.MustCall, unix.SYS_IOCTL, 0, unix.SIOCSIFFLAGS, p.data(request))
}

// mapIDs maps the caller to root, or to itself, and, where there are ranges for that, others as
// well (user_namespaces(7)). self is the first of three calls that have opened /proc/self.
func (n *Namespaces) mapIDs(p *CallList, self int) {
	if n.ranges != nil {
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
	write("uid_map", singleMap(n.MapRoot, unix.Geteuid()))
	write("gid_map", singleMap(n.MapRoot, unix.Getegid()))
}

// atFDCWD is AT_FDCWD in a register.
var atFDCWD = unix.AT_FDCWD

// singleMap maps id alone.
func singleMap(root bool, id int) string { return strings.Join(idMap(root, id, 0, 0), " ") }

// describe names what was asked for, for an error at a step.
func (n *Namespaces) describe(step ending.Step, err error) error {
	if words := n.words(step); words != "" {
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
func (n *Namespaces) words(step ending.Step) string {
	switch step {
	case ending.StepJoin:
		return "--join " + cut(strings.Join(n.Targets, " "))
	case ending.StepUnshare:
		return "--unshare " + n.Unshare.String()
	case ending.StepMapIDs, ending.StepMount, ending.StepLoopback:
		return "--unshare " + n.Unshare.String() + ": " + string(step)
	case ending.StepHostname:
		return "--hostname " + n.Hostname
	}
	return ""
}
