package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func playRole(role string) {
	switch role {
	case "cage":
		var spec cageSpec
		must(json.Unmarshal([]byte(os.Getenv(cageEnv)), &spec))
		playCage(spec)
	case "served":
		op, _ := strconv.Atoi(os.Args[1])
		playServed(op, os.Args[2], os.Args[3:]...)
	case "stuck":
		playStuck(os.Args[1], os.Args[2:]...)
	case "storm":
		playStorm()
	case "tracer":
		playTracer()
	case "argless":
		playArgless()
	case "prober":
		playProber()
	case "reader":
		playReader()
	case "leader":
		playLeader(os.Args[1] == "group", os.Args[2:])
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "cage:", err)
		os.Exit(98)
	}
}

// playCage is the first process of a new PID namespace.
func playCage(spec cageSpec) {
	runtime.LockOSThread() // no_new_privs and a filter belong to a thread
	must(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(unix.Mount("proc", "/proc", "proc", 0, ""))
	unix.CloseOnExec(3)
	if spec.Mode == asConsole {
		playConsole(spec)
	}
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TEST_FINITE_") {
			env = append(env, kv)
		}
	}
	// A directory of the caller's PATH that this user may not search would make "not found" a
	// "permission denied".
	env = append(env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	if spec.Role != "" {
		env = append(env, roleEnv+"="+spec.Role)
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
	// Only finite is waited for: what comes here besides is what finite has left, zombies included.
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &ws, 0, nil)
		if err != syscall.EINTR {
			must(err)
			break
		}
	}
	if spec.Late {
		reapOthers()
	}
	report := cageReport{Status: ws.ExitStatus(), Left: whoIsThere()}
	if ws.Signaled() {
		report.Status = -int(ws.Signal())
	}
	text, err := json.Marshal(report)
	must(err)
	_, err = syscall.Write(3, text)
	must(err)
	os.Exit(0)
}

// reapOthers reaps until nobody is there, or patience is half over.
func reapOthers() {
	for begin := time.Now(); time.Since(begin) < patience()/2; time.Sleep(time.Millisecond) {
		for pid := 1; pid > 0; {
			var err error
			if pid, err = syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err == syscall.ECHILD {
				return
			}
		}
	}
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
