package nsutil

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/procfs"
)

// Namespaces is a set of kinds of namespaces (namespaces(7)), as the CLONE_NEW flags of clone(2).
type Namespaces uint32

// The kinds.
const (
	UserNamespace    Namespaces = unix.CLONE_NEWUSER
	CgroupNamespace  Namespaces = unix.CLONE_NEWCGROUP
	IPCNamespace     Namespaces = unix.CLONE_NEWIPC
	UTSNamespace     Namespaces = unix.CLONE_NEWUTS
	NetworkNamespace Namespaces = unix.CLONE_NEWNET
	PIDNamespace     Namespaces = unix.CLONE_NEWPID
	TimeNamespace    Namespaces = unix.CLONE_NEWTIME // Linux 5.6
	MountNamespace   Namespaces = unix.CLONE_NEWNS
)

// namespaceTable is in the order in which namespaces are joined: the user namespace gives the right
// to join the others, and with the mount namespace /proc goes away.
var namespaceTable = []struct {
	kind Namespaces
	name string // runtime-spec's
	file string // in /proc/PID/ns, and another name
}{
	{UserNamespace, string(specs.UserNamespace), "user"},
	{CgroupNamespace, string(specs.CgroupNamespace), "cgroup"},
	{IPCNamespace, string(specs.IPCNamespace), "ipc"},
	{UTSNamespace, string(specs.UTSNamespace), "uts"},
	{NetworkNamespace, string(specs.NetworkNamespace), "net"},
	{PIDNamespace, string(specs.PIDNamespace), "pid"},
	{TimeNamespace, string(specs.TimeNamespace), "time"},
	{MountNamespace, string(specs.MountNamespace), "mnt"},
}

// Has reports whether all kinds of other are in n.
func (n Namespaces) Has(other Namespaces) bool { return n&other == other }

// String lists the names, separated by commas.
func (n Namespaces) String() string {
	var names []string
	for _, row := range namespaceTable {
		if n.Has(row.kind) {
			names = append(names, row.name)
		}
	}
	return strings.Join(names, ",")
}

// ParseNamespaces reads a list of names, separated by commas: those of the OCI runtime-spec (pid,
// network, mount, ipc, uts, user, cgroup, time), those of /proc/PID/ns (net, mnt), and all.
func ParseNamespaces(list string) (Namespaces, error) {
	var n Namespaces
	for name := range strings.SplitSeq(list, ",") {
		kind, err := parseNamespace(strings.TrimSpace(name))
		if err != nil {
			return 0, err
		}
		n |= kind
	}
	return n, nil
}

func parseNamespace(name string) (Namespaces, error) {
	var all Namespaces
	for _, row := range namespaceTable {
		if name == row.name || name == row.file {
			return row.kind, nil
		}
		all |= row.kind
	}
	if name == "all" {
		return all, nil
	}
	const known = "pid, mount, uts, ipc, net, user, cgroup, time or all"
	return 0, fmt.Errorf("unknown namespace %q; must be %s", name, known)
}

// NamespaceFile is an open file that stands for a namespace.
type NamespaceFile struct {
	FD   int
	Kind Namespaces
}

// SplitJoin splits what names namespaces to join: PID, PID:LIST, or the path of a file such as
// /proc/PID/ns/net, or one that such a file was bound to. path is empty for the former two, and
// kinds is 0 where there is no list: all but the time namespace, which a program with threads
// cannot join.
func SplitJoin(target string) (pid int, kinds Namespaces, path string, err error) {
	number, list, hasList := strings.Cut(target, ":")
	isNumber := strings.Trim(number, "0123456789") == ""
	switch {
	case target == "":
		return 0, 0, "", errors.New("empty")
	case !isNumber: // a path may have a colon
		return 0, 0, target, nil
	}
	if pid, err = strconv.Atoi(number); err != nil || pid == 0 {
		return 0, 0, "", errors.New("not a PID")
	}
	if hasList {
		kinds, err = ParseNamespaces(list)
	}
	return pid, kinds, "", err
}

// OpenNamespaces opens the namespaces that target names (see [SplitJoin]), in the order in which
// they are to be joined, without those that this process is in itself. The caller closes them.
func OpenNamespaces(target string) ([]NamespaceFile, error) {
	pid, kinds, path, err := SplitJoin(target)
	if err != nil {
		return nil, err
	}
	if path != "" {
		return openNamespaceFile(path)
	}
	dir := "/proc/" + strconv.Itoa(pid)
	// The number can be another's by the time of the next open; this cannot.
	proc, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_PATH|unix.O_CLOEXEC, 0)
	switch {
	case err == unix.ENOENT && !procfs.NewProc().Mounted():
		return nil, procfs.ErrNoProc
	case err == unix.ENOENT:
		return nil, unix.ESRCH
	case err != nil:
		return nil, err
	}
	defer func() { _ = unix.Close(proc) }()
	var files []NamespaceFile
	for _, row := range namespaceTable {
		if kinds != 0 && !kinds.Has(row.kind) || kinds == 0 && row.kind == TimeNamespace {
			continue
		}
		fd, err := unix.Openat(proc, "ns/"+row.file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT && kinds == 0 && !isKnown(row.file) {
			continue
		}
		if err != nil {
			CloseNamespaces(files)
			if err == unix.ENOENT {
				err = unix.ESRCH // it has ended since
			}
			return nil, fmt.Errorf("%s namespace: %w", row.name, err)
		}
		files = appendNamespace(files, NamespaceFile{fd, row.kind})
	}
	return files, nil
}

// isKnown reports whether the kernel has this kind of namespace.
func isKnown(file string) bool {
	return unix.Faccessat(unix.AT_FDCWD, "/proc/self/ns/"+file, unix.F_OK, 0) == nil
}

func openNamespaceFile(path string) ([]NamespaceFile, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE) // Linux 4.11
	if err != nil {
		_ = unix.Close(fd)
		return nil, errors.New("not a namespace's file")
	}
	return appendNamespace(nil, NamespaceFile{fd, Namespaces(kind)}), nil
}

// appendNamespace appends a file, or closes it if it is of a namespace that this process is in.
func appendNamespace(files []NamespaceFile, f NamespaceFile) []NamespaceFile {
	for _, row := range namespaceTable {
		if row.kind == f.Kind && isOwn(f.FD, row.file) {
			_ = unix.Close(f.FD)
			return files
		}
	}
	return append(files, f)
}

// isOwn reports whether a file is of the namespace that this process is in.
func isOwn(fd int, file string) bool {
	var its, own unix.Stat_t
	if unix.Fstat(fd, &its) != nil || unix.Stat("/proc/self/ns/"+file, &own) != nil {
		return false
	}
	return its.Dev == own.Dev && its.Ino == own.Ino
}

// CloseNamespaces closes files.
func CloseNamespaces(files []NamespaceFile) {
	for _, f := range files {
		_ = unix.Close(f.FD)
	}
}
