package cgroup

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/mounts"
	"github.com/finite-init/finite/internal/procfs"
	"github.com/finite-init/finite/internal/sys"
)

// Own is where this process stands in the hierarchies of cgroups(7). A directory is "" where there is none that can be reached
// from here.
type Own struct {
	Unified  string // the directory of its v2 cgroup
	Memory   string // the directory whose memory.events (v2) or memory.oom_control (v1) counts for it
	MemoryV1 bool   // which of the two
}

const (
	cgroupMount   = "/sys/fs/cgroup"         // where everybody mounts cgroup2, or v1 hierarchies below it
	hybridMount   = cgroupMount + "/unified" // where systemd mounts cgroup2 beside v1 hierarchies
	memoryV1Mount = cgroupMount + "/memory"  // where v1's memory controller is by custom
	initialNS     = "cgroup:[4026531835]"    // PROC_CGROUP_INIT_INO: the cgroup namespace that the machine started with
	kernfsRoot    = 1                        // the inode number of the root of every hierarchy
	oomFileV1     = "memory.oom_control"     // in every v1 memory cgroup
	oomFileV2     = "memory.events"          // in every v2 cgroup but the root, where the memory controller is enabled
	mountinfo     = "/proc/self/mountinfo"   // proc_pid_mountinfo(5)
	ownCgroupFile = "/proc/self/cgroup"      // cgroups(7)
	firstRead     = 4 << 10                  // bytes; the file is far shorter
)

// Find finds the cgroups that this process is in. It is an error if /proc does not tell; a machine without cgroups is none.
//
// Where cgroup2 is mounted at the usual place, the list of mounts is not read, which costs more than all the rest. A directory there
// is believed only if it is proven to be the right one: what is mounted may be any part of the hierarchy, and the path that the kernel
// tells is relative to the cgroup namespace, which need not be the one of whoever mounted it.
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
		mount, own.Unified = usualUnified(paths.Unified)
	}
	if paths.Memory != "" {
		own.Memory = usualMemoryV1(paths.Memory)
	}
	if (paths.Unified != "" && own.Unified == "") || (paths.Memory != "" && own.Memory == "") {
		text, err := procfs.ReadAll(mountinfo, make([]byte, 4*firstRead))
		if err != nil {
			return own.settled(mount), err
		}
		all := mounts.Parse(text)
		if paths.Unified != "" && own.Unified == "" {
			point, dir := mounts.Locate(all, mounts.Mount.IsUnified, paths.Unified)
			if isFileSystem(dir, unix.CGROUP2_SUPER_MAGIC) {
				mount, own.Unified = point, dir
			}
		}
		if paths.Memory != "" && own.Memory == "" {
			isMemory := func(m mounts.Mount) bool { return m.IsV1("memory") }
			if _, dir := mounts.Locate(all, isMemory, paths.Memory); isFileSystem(dir, unix.CGROUP_SUPER_MAGIC) {
				own.Memory = dir
			}
		}
	}
	return own.settled(mount), nil
}

// settled returns own with Memory found, where that is in v2: the nearest of the own directory and those above it that counts.
func (own Own) settled(mount string) Own {
	if own.MemoryV1 || own.Unified == "" {
		own.MemoryV1 = own.Memory != ""
		return own
	}
	for dir := own.Unified; dir != "" && mounts.IsWithin(mount, dir); dir = dir[:strings.LastIndexByte(dir, '/')] {
		if unix.Faccessat(unix.AT_FDCWD, mounts.Join(dir, "/"+oomFileV2), unix.R_OK, 0) == nil {
			own.Memory = dir
			break
		}
	}
	return own
}

// usualUnified returns the v2 mount and this process's directory in it, if both are where they are on most machines. The proof is the
// kernel's word for which cgroup this process is in.
func usualUnified(path string) (mount, dir string) {
	mount = cgroupMount
	dir = mounts.Join(mount, path)
	if !isFileSystem(dir, unix.CGROUP2_SUPER_MAGIC) {
		mount = hybridMount
		dir = mounts.Join(mount, path)
		if !isFileSystem(dir, unix.CGROUP2_SUPER_MAGIC) {
			return "", ""
		}
	}
	id, ok := ownCgroupID()
	if !ok {
		return "", ""
	}
	if inode, _, err := identity(unix.AT_FDCWD, dir); err != nil || inode != id {
		return "", ""
	}
	return mount, dir
}

// usualMemoryV1 is the same for v1's memory controller. For v1 the kernel has no such word. But in the initial cgroup namespace paths begin at the root of
// the hierarchy, so if that is what is mounted there, and nothing is mounted over the directory, it is the right one.
func usualMemoryV1(path string) string {
	dir := mounts.Join(memoryV1Mount, path)
	inode, mount, err := identity(unix.AT_FDCWD, memoryV1Mount)
	if err != nil || inode != kernfsRoot || mount == 0 {
		return ""
	}
	if _, same, err := identity(unix.AT_FDCWD, dir); err != nil || same != mount {
		return ""
	}
	var ns [len(initialNS) + 1]byte
	if n, err := sys.Readlink("/proc/self/ns/cgroup", ns[:]); err != nil || string(ns[:n]) != initialNS {
		return ""
	}
	if unix.Faccessat(unix.AT_FDCWD, mounts.Join(dir, "/"+oomFileV1), unix.R_OK, 0) != nil {
		return "" // another controller's
	}
	return dir
}

func isFileSystem(path string, magic uint32) bool {
	var st unix.Statfs_t
	return path != "" && unix.Statfs(path, &st) == nil && uint32(st.Type) == magic
}
