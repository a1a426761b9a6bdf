package main

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// records are the paths of what options name.
func (a *attacker) records() []string {
	return []string{filepath.Join(a.Records, "report"), filepath.Join(a.Records, "state")}
}

// swap puts other things in the place of what options name, which a rename replaces: links to a
// file that is none of finite's business.
func (a *attacker) swap() {
	for _, path := range a.records() {
		switch a.random.IntN(4) {
		case 0:
			a.try(unix.Unlink(path))
		case 1:
			a.try(unix.Unlink(path))
			a.try(unix.Symlink(a.Victim, path))
		case 2:
			a.try(unix.Rename(path, path+".away"))
			a.try(unix.Link(a.Victim, path))
		case 3:
			a.try(unix.Unlink(path))
			a.try(unix.Mkfifo(path, 0o666))
		}
	}
	entries, _ := os.ReadDir(a.Records)
	for _, e := range entries { // those that are being written
		if path := filepath.Join(a.Records, e.Name()); e.Name()[0] == '.' {
			a.try(unix.Unlink(path))
			a.try(unix.Symlink(a.Victim, path))
		}
	}
}

// wall has a record that cannot be replaced, and that keeps whoever opens it.
func (a *attacker) wall() {
	for _, path := range a.records() {
		if !a.first(path) {
			continue
		}
		switch a.random.IntN(4) {
		case 0:
			a.try(unix.Unlink(path))
			a.try(unix.Mkdir(path, 0o777))
		case 1:
			a.try(unix.Unlink(path))
			a.try(unix.Mkfifo(path, 0o666))
		case 2:
			if _, err := os.Lstat(a.stuckMark()); err == nil {
				continue // this process would wait itself
			}
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0) // it may be a FIFO by now
			if a.try(err) {
				_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
				a.try(err)
				_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
				a.try(err)
				a.try(unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB))
			}
		case 3:
			a.try(unix.Rename(a.Records, a.Records+".away"))
		}
	}
	a.try(unix.Chmod(a.Records, 0o555))
	a.try(unix.Chmod(a.Records+".away", 0o555))
}

// standardError changes what everybody shares who has this standard error.
func (a *attacker) standardError() {
	_, err := unix.FcntlInt(2, unix.F_SETFL, unix.O_NONBLOCK|unix.O_ASYNC)
	a.try(err)
	_, err = unix.FcntlInt(2, unix.F_SETPIPE_SZ, 4096)
	a.try(err)
	for _, p := range a.targets() {
		_, err = unix.FcntlInt(2, unix.F_SETOWN, p.pid)
		a.try(err)
		_, err = unix.FcntlInt(2, unix.F_SETSIG, int(unix.SIGTERM))
		a.try(err)
	}
}
