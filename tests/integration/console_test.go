package integration

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

const consoleFD = 4 // the terminal, in the PID 1 of a console's cage

// openTerminal opens a terminal that does not echo. It can be closed while it is read.
func openTerminal(t *testing.T) (tty, tts *os.File) {
	t.Helper()
	blocking, tts, err := pty.Open()
	if err != nil {
		missing(t, "no pseudo-terminal: %v", err)
	}
	defer blocking.Close()
	modes, err := unix.IoctlGetTermios(int(tts.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	modes.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(int(tts.Fd()), unix.TCSETS, modes); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	tty = os.NewFile(uintptr(fd), "terminal")
	t.Cleanup(func() { tty.Close() })
	return tty, tts
}

// playConsole starts the leader of a session on the terminal. It tells the leader's status, and
// reaps until the test ends the cage. It never returns.
func playConsole(spec cageSpec) {
	// A test in the background of a script starts with INT and QUIT ignored. A signal that is
	// handled here has its default action in the leader.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT, unix.SIGQUIT)
	must(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})) // no "(core dumped)"
	unix.CloseOnExec(consoleFD)
	leader, err := syscall.ForkExec(spec.Args[0], spec.Args, &syscall.ProcAttr{
		Env:   spec.Env,
		Files: []uintptr{consoleFD, consoleFD, consoleFD},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: true},
	})
	must(err)
	must(unix.Close(consoleFD))
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, 0, nil)
		switch {
		case err == syscall.ECHILD:
			waitForEver()
		case err == nil && pid == leader:
			cage.Tell(cageReport{Status: cage.Status(ws)})
		}
	}
}

// playLeader is a session leader that is no shell. It runs a command in its own process group or
// in a group of its own, says when it stops, and continues it.
func playLeader(group bool, args []string) {
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGQUIT)
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}
	if group {
		signal.Ignore(unix.SIGTTOU) // the child takes the foreground for its group
		attr.Sys = &syscall.SysProcAttr{Foreground: true, Ctty: 0}
	}
	pid, err := syscall.ForkExec(args[0], args, attr)
	must(err)
	for {
		var ws syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil); err != nil {
			continue // interrupted
		}
		if !ws.Stopped() {
			fmt.Println("leader: ended with", cage.Status(ws))
			os.Exit(0)
		}
		fmt.Println("leader: stopped by", int(ws.StopSignal()))
		must(syscall.Kill(-pid, unix.SIGCONT))
	}
}

// process is what /proc tells about a process.
type process struct {
	pid, parent, group, session, foreground int
	comm                                    string
	state                                   byte
}

func (p process) String() string {
	return fmt.Sprintf("%d %s %c parent %d group %d session %d foreground %d",
		p.pid, p.comm, p.state, p.parent, p.group, p.session, p.foreground)
}

// descendants lists who descends from a process, zombies too.
func descendants(pid int) []process {
	children := make(map[int][]process)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if p, ok := parseStat(string(text)); err == nil && ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	all := children[pid]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].pid]...)
	}
	return all
}

// parseStat reads the beginning of /proc/PID/stat, proc_pid_stat(5). The comm may hold anything.
func parseStat(text string) (process, bool) {
	pid, rest, ok := strings.Cut(text, " (")
	end := strings.LastIndex(rest, ") ")
	if !ok || end < 0 {
		return process{}, false
	}
	fields := strings.Fields(rest[end+2:])
	if len(fields) < 6 {
		return process{}, false
	}
	p := process{comm: rest[:end], state: fields[0][0]}
	for to, word := range map[*int]string{
		&p.pid: pid, &p.parent: fields[1], &p.group: fields[2], &p.session: fields[3], &p.foreground: fields[5],
	} {
		*to, _ = strconv.Atoi(word)
	}
	return p, true
}
