package integration

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

// roles is what the test binary plays.
var roles = cage.Roles{
	"cage": func() { playCage(cage.Order[cageSpec]()) },
	"served": func() {
		op, _ := strconv.Atoi(os.Args[1])
		playServed(op, os.Args[2], os.Args[3:]...)
	},
	"stuck":   func() { playStuck(os.Args[1], os.Args[2:]...) },
	"storm":   playStorm,
	"tracer":  playTracer,
	"argless": playArgless,
	"prober":  playProber,
	"reader":  playReader,
	"leader":  func() { playLeader(os.Args[1] == "group", os.Args[2:]) },
}

// playCage is the first process of a new PID namespace.
func playCage(spec cageSpec) {
	cage.Enter()
	if spec.Mode == asConsole {
		playConsole(spec)
	}
	// A directory of the caller's PATH that this user may not search would make "not found" a
	// "permission denied".
	env := append(cage.Environ(), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if spec.Role != "" {
		env = append(env, cage.Plays(spec.Role))
	}
	if spec.Deny != nil || spec.Mode == asNobody {
		must(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	}
	if spec.Deny != nil {
		must(spec.Deny.Install())
	}
	if spec.Mode == asInit {
		must(syscall.Exec(spec.Args[0], spec.Args, env))
	}
	attr := &syscall.ProcAttr{Env: env, Files: []uintptr{0, 1, 2}}
	if spec.Mode == asNobody {
		attr.Sys = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	pid, err := syscall.ForkExec(spec.Args[0], spec.Args, attr)
	must(err)
	report := cageReport{Status: cage.Wait(pid)}
	if spec.Late {
		cage.Reap(patience()/2, func() bool { return len(cage.Everybody()) == 0 })
	}
	report.Left = whoIsThere()
	cage.Tell(report)
	os.Exit(0)
}

// whoIsThere lists everybody in this PID namespace but its PID 1.
func whoIsThere() []string {
	entries, err := os.ReadDir("/proc")
	must(err)
	var left []string
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != 1 {
			stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
			if len(stat) > 60 {
				stat = stat[:60]
			}
			line := string(stat)
			if isKilled("/proc/" + e.Name() + "/status") {
				line += killedMark
			}
			left = append(left, line)
		}
	}
	return left
}

// killedMark is at the end of the line of a process that was sent SIGKILL, and had no processor
// since.
const killedMark = " killed"

// isKilled reads a proc_pid_status(5).
func isKilled(status string) bool {
	text, _ := os.ReadFile(status)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if name == "SigPnd" || name == "ShdPnd" {
			set, _ := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if set&(1<<(unix.SIGKILL-1)) != 0 {
				return true
			}
		}
	}
	return false
}

// playTracer traces the process that it is told, from a thread that is not the first one, and never
// looks at it again.
func playTracer() {
	runtime.LockOSThread()
	pid, err := strconv.Atoi(os.Args[1])
	must(err)
	for range 2 {
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() != unix.Getpid() {
				traceOnce(pid)
			}
			waitForEver()
		}()
	}
	waitForEver()
}

var traced sync.Once

func traceOnce(pid int) {
	traced.Do(func() {
		must(syscall.PtraceAttach(pid))
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, 0, nil)
		must(err)
		fmt.Println("attached")
		os.Stdout.Close()
	})
}

// playReader reads a file in a thread that is not the first one.
func playReader() {
	runtime.LockOSThread()
	go func() { _, _ = os.ReadFile(os.Args[1]) }()
	waitForEver()
}

func waitForEver() {
	for {
		_ = unix.Pause() // the runtime's own signals end it
	}
}
