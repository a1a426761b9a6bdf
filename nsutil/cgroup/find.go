package cgroup

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
)

// Own is where this process stands in the hierarchies of cgroups(7). A directory is "" where there
// is none that can be reached from here.
type Own struct {
	Unified  string // the directory of its v2 cgroup
	Memory   string // the directory whose memory.events (v2) or memory.oom_control (v1) counts for it
	MemoryV1 bool   // which of the two
}

const (
	cgroupMount   = "/sys/fs/cgroup"         // where everybody mounts cgroup2, or v1 hierarchies below it
	hybridMount   = cgroupMount + "/unified" // where systemd mounts cgroup2 beside v1 hierarchies
	memoryV1Mount = cgroupMount + "/memory"  // where v1's memory controller is by custom
	oomFileV1     = "memory.oom_control"     // in every v1 memory cgroup
	oomFileV2     = "memory.events"          // in v2, below the root, with the memory controller
	mountinfo     = "/proc/self/mountinfo"   // proc_pid_mountinfo(5)
	ownCgroupFile = "/proc/self/cgroup"      // cgroups(7)
	firstRead     = 4 << 10                  // bytes; the file is far shorter
)

// Find finds the cgroups that this process is in. It is an error if /proc does not tell; a machine
// without cgroups is none.
//
// Where cgroup2 is mounted at the usual place, the list of mounts is not read, which costs more
// than all the rest. No directory is believed that does not list this process: what is mounted may
// be any part of the hierarchy, and the path that the kernel tells is relative to the cgroup
// namespace, which need not be the one of whoever mounted it.
func Find() (Own, error) { return find(true) }

// FindUnified is Find for the v2 cgroup alone, which takes less time.
func FindUnified() (string, error) {
	own, err := find(false)
	return own.Unified, err
}

func find(memory bool) (Own, error) {
	text, err := procfs.ReadAll(ownCgroupFile, make([]byte, firstRead))
	if err != nil {
		return Own{}, err
	}
	paths := mounts.ParseCgroups(text)
	if !memory {
		paths.Memory, paths.MemoryV1 = "", true // not to be looked for in v2 either
	}
	own := Own{MemoryV1: paths.MemoryV1}
	mount := ""
	if paths.Unified != "" {
		mount, own.Unified = prove(paths.Unified, unix.CGROUP2_SUPER_MAGIC, cgroupMount, hybridMount)
	}
	if paths.Memory != "" {
		_, own.Memory = prove(paths.Memory, unix.CGROUP_SUPER_MAGIC, memoryV1Mount)
		if unix.Faccessat(unix.AT_FDCWD, mounts.Join(own.Memory, "/"+oomFileV1), unix.R_OK, 0) != nil {
			own.Memory = "" // another controller's
		}
	}
	if (paths.Unified != "" && own.Unified == "") || (paths.Memory != "" && own.Memory == "") {
		text, err := procfs.ReadAll(mountinfo, make([]byte, 4*firstRead))
		if err != nil {
			return own.settled(mount), err
		}
		all := mounts.Parse(text)
		if paths.Unified != "" && own.Unified == "" {
			point, dir := mounts.Locate(all, mounts.Mount.IsUnified, paths.Unified)
			if holdsThis(dir, unix.CGROUP2_SUPER_MAGIC) {
				mount, own.Unified = point, dir
			}
		}
		if paths.Memory != "" && own.Memory == "" {
			isMemory := func(m mounts.Mount) bool { return m.IsV1("memory") }
			if _, dir := mounts.Locate(all, isMemory, paths.Memory); holdsThis(dir, unix.CGROUP_SUPER_MAGIC) {
				own.Memory = dir
			}
		}
	}
	return own.settled(mount), nil
}

// settled returns own with Memory found, where that is in v2: the nearest of the own directory and
// those above it that counts.
func (own Own) settled(mount string) Own {
	if own.MemoryV1 || own.Unified == "" {
		own.MemoryV1 = own.Memory != ""
		return own
	}
	for dir := own.Unified; dir != "" && mounts.IsWithin(mount, dir); {
		if unix.Faccessat(unix.AT_FDCWD, mounts.Join(dir, "/"+oomFileV2), unix.R_OK, 0) == nil {
			own.Memory = dir
			break
		}
		dir = dir[:strings.LastIndexByte(dir, '/')]
	}
	return own
}

// prove returns the first of these mount points below which this process's cgroup is, and its
// directory there. The list of the processes in it is the proof: it has this one.
func prove(path string, magic uint32, points ...string) (point, dir string) {
	for _, point := range points {
		if dir := mounts.Join(point, path); holdsThis(dir, magic) {
			return point, dir
		}
	}
	return "", ""
}

// holdsThis reports whether dir is the cgroup that this process is in, of a hierarchy of the given
// version.
func holdsThis(dir string, magic uint32) bool {
	fd, err := openat(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return false
	}
	defer sys.Close(fd)
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) != nil || uint32(fs.Type) != magic {
		return false
	}
	holds := false
	look := func(some []int) bool {
		holds = slices.Contains(some, unix.Getpid())
		return !holds
	}
	buf := make([]byte, firstRead)
	if readList(fd, "cgroup.procs", buf, look) == unix.EOPNOTSUPP { // a threaded cgroup
		_ = readList(fd, "cgroup.threads", buf, look)
	}
	return holds
}
