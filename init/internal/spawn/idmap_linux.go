//go:build amd64 || arm64

package spawn

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/internal/keeper"
	"github.com/finite-init/finite/reap"
)

// idRanges maps ranges of user and group IDs besides the caller's own, which newuidmap(1) and
// newgidmap(1) may do where subuid(5) and subgid(5) grant them.
type idRanges struct {
	programs [2]string
	maps     [2][]string // their arguments after the PID: inside, outside, count, ...
}

// findRanges returns nil where there are no ranges, or no programs to map them. Root needs no
// grant, but also has no ranges of its own.
func findRanges(root bool) *idRanges {
	uid, gid := unix.Geteuid(), unix.Getegid()
	// The programs have their rights from setuid.
	if nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); uid == 0 || err != nil || nnp != 0 {
		return nil
	}
	r := &idRanges{}
	for i, what := range []struct {
		program, grants string
		id              int
	}{{"newuidmap", "/etc/subuid", uid}, {"newgidmap", "/etc/subgid", gid}} {
		path, err := lookPath(what.program, keeper.Environ())
		if err != nil {
			return nil
		}
		start, count := subordinate(what.grants, uid)
		if count == 0 {
			return nil
		}
		r.programs[i], r.maps[i] = path, idMap(root, what.id, start, count)
	}
	return r
}

// idMap maps id to root or to itself, and all other IDs, in order, to the range.
func idMap(root bool, id, start, count int) []string {
	inside := id
	if root {
		inside = 0
	}
	ids := []int{inside, id, 1}
	below := min(inside, count)
	if below > 0 {
		ids = append(ids, 0, start, below)
	}
	if above := count - below; above > 0 {
		ids = append(ids, inside+1, start+below, above)
	}
	text := make([]string, len(ids))
	for i, n := range ids {
		text[i] = strconv.Itoa(n)
	}
	return text
}

// noID is no user's and no group's: -1 for the kernel.
const noID = 1<<32 - 1

// subordinate returns the first range that a file such as /etc/subuid grants to the user, by number
// or by name.
func subordinate(file string, uid int) (start, count int) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0
	}
	number := strconv.Itoa(uid)
	var name string
	if users, err := os.ReadFile("/etc/passwd"); err == nil {
		for line := range bytes.Lines(users) {
			if f := strings.Split(string(line), ":"); len(f) > 2 && f[2] == number {
				name = f[0]
				break
			}
		}
	}
	for line := range bytes.Lines(text) {
		f := strings.Split(strings.TrimSpace(string(line)), ":")
		if len(f) != 3 || f[0] != number && (name == "" || f[0] != name) {
			continue
		}
		start, err1 := strconv.ParseUint(f[1], 10, 32)
		count, err2 := strconv.ParseUint(f[2], 10, 32)
		if err1 == nil && err2 == nil && start > 0 && count > 0 && start+count <= noID {
			return int(start), int(count)
		}
	}
	return 0, 0
}

// rangesLimit is how long such a program may take, where the kernel has pidfds (Linux 5.2).
const rangesLimit = 10 * time.Second

// write has both programs write their map.
func (r *idRanges) write(pid int) error {
	// Else package syscall gives the programs the limit that it found: the keeper had lowered it.
	var files syscall.Rlimit
	if syscall.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		_ = syscall.Setrlimit(unix.RLIMIT_NOFILE, &files)
	}
	for i, program := range r.programs {
		args := append([]string{program, strconv.Itoa(pid)}, r.maps[i]...)
		pidfd := -1
		child, err := syscall.ForkExec(program, args, &syscall.ProcAttr{
			Files: []uintptr{0, 1, 2}, Env: keeper.Environ(), Sys: &syscall.SysProcAttr{PidFD: &pidfd},
		})
		if err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		clock := time.AfterFunc(rangesLimit, func() { _ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) })
		c, err := reap.Wait(child)
		if !clock.Stop() {
			return fmt.Errorf("%s: it did not end within %v", program, rangesLimit)
		}
		_ = unix.Close(pidfd)
		if err != nil || c.Code != reap.CodeExited || c.Status != 0 {
			return fmt.Errorf("%s: %v", program, c)
		}
	}
	return nil
}
