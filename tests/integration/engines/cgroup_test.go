package engines

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup2Mount is where this machine has cgroup v2: all of /sys/fs/cgroup, or a part of it beside
// v1.
func cgroup2Mount() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		mount, kind, _ := strings.Cut(line, " - ") // proc_pid_mountinfo(5)
		if fields := strings.Fields(mount); len(fields) > 5 && strings.HasPrefix(kind, "cgroup2 ") &&
			strings.HasPrefix(fields[5], "rw") {
			return fields[4], nil
		}
	}
	return "", errors.New("a writable cgroup2 mount")
}

// removeCgroup removes a cgroup with all that are in it. A cgroup is busy for a moment longer than
// its processes can be seen.
func removeCgroup(path string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := removeCgroupOnce(path)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func removeCgroupOnce(path string) error {
	var groups []string
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && d.IsDir():
			groups = append(groups, p)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, group := range slices.Backward(groups) {
		if err := unix.Rmdir(group); err != nil && err != unix.ENOENT {
			return fmt.Errorf("cannot remove cgroup %s: %w", group, err)
		}
	}
	return nil
}
