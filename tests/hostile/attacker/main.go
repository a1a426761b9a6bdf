// Command attacker runs under finite, as its command and as what the command leaves, and does to
// finite's processes what the kernel lets it do. What it does, a plan says.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/hostile/plan"
)

// attacker is one process that attacks.
type attacker struct {
	plan.Plan
	random  *rand.Rand
	prey    prey
	step    plan.Step
	tries   int
	results map[string]int
	once    map[string]bool // what is done no second time
}

// attacks is every attack by its name.
var attacks = map[string]func(*attacker){
	"stop":           (*attacker).stop,
	"stop again":     (*attacker).stop,
	"kill":           (*attacker).kill,
	"flood":          (*attacker).flood,
	"forge":          (*attacker).forge,
	"everybody":      (*attacker).everybody,
	"stop everybody": (*attacker).stopEverybody,
	"trace":          (*attacker).trace,
	"memory":         (*attacker).memory,
	"descriptors":    (*attacker).descriptors,
	"peek":           (*attacker).peek,
	"proc files":     (*attacker).procFiles,
	"userfaultfd":    (*attacker).userfaultfd,
	"limits":         (*attacker).limits,
	"limit files":    (*attacker).limitFiles,
	"schedule":       (*attacker).schedule,
	"groups":         (*attacker).groups,
	"terminal":       (*attacker).terminal,
	"swap":           (*attacker).swap,
	"wall":           (*attacker).wall,
	"stderr":         (*attacker).standardError,
	"rights":         (*attacker).rights,
	"orphans":        (*attacker).orphans,
	"hold":           (*attacker).hold,
	"cgroup":         (*attacker).cgroup,
	"cover proc":     (*attacker).coverProc,
	"cover files":    (*attacker).coverFiles,
	"fuse":           (*attacker).fuse,
	"kill together":  (*attacker).killTogether,
	"kill everybody": (*attacker).killEverybody,
	"limit time":     (*attacker).limitTime,
	"freeze":         (*attacker).freeze,
	"kill cgroup":    (*attacker).killCgroup,
}

func main() {
	runtime.LockOSThread() // who traces is a thread
	var p plan.Plan
	if err := json.Unmarshal([]byte(os.Getenv(plan.Env)), &p); err != nil {
		fmt.Fprintln(os.Stderr, "attacker:", err)
		os.Exit(98)
	}
	beDeaf()
	switch {
	case len(os.Args) == 1:
		p.Write(plan.Line{Event: "started"})
		newAttacker(p, os.Getppid(), os.Getpid(), 1).beCommand()
	case os.Args[1] == "leftover":
		newAttacker(p, number(2), number(3), 2).beLeftover()
	case os.Args[1] == "server":
		newAttacker(p, number(2), number(3), 3).beServer()
	}
	for { // deaf
		pause()
	}
}

func number(arg int) int {
	n, err := strconv.Atoi(os.Args[arg])
	if err != nil {
		os.Exit(98)
	}
	return n
}

func newAttacker(p plan.Plan, keeper, command int, stream uint64) *attacker {
	a := &attacker{Plan: p, random: rand.New(rand.NewPCG(p.Seed, stream)), once: map[string]bool{}}
	a.prey = findPrey(keeper, command)
	return a
}

// beDeaf ignores every signal, also those that os/signal does not know, but SIGCHLD, and SIGURG,
// which the Go runtime needs.
func beDeaf() {
	type action struct{ handler, flags, restorer, mask uintptr }
	ignore := action{handler: 1}
	for n := 1; n <= 64; n++ {
		if n != int(unix.SIGCHLD) && n != int(unix.SIGURG) {
			_ = call(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&ignore)), 0, 8)
		}
	}
}

// beCommand plays the command: it starts who is to be left, attacks, and ends as it is told.
func (a *attacker) beCommand() {
	a.leave("deaf")
	a.leave("deaf")
	a.startServer()
	if len(a.Leftover) > 0 {
		a.leave("leftover")
	}
	for _, s := range a.Command {
		a.play(s)
	}
	a.Write(plan.Line{Event: "ending"})
	switch a.End {
	case "exit":
		os.Exit(a.Exit)
	case "stop":
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP)
	}
}

// beLeftover plays who is left: it attacks until it is killed.
func (a *attacker) beLeftover() {
	for _, s := range a.Leftover {
		a.play(s)
	}
	a.Write(plan.Line{Event: "ready"})
	_, _ = unix.Write(3, []byte("ready\n"))
	unix.Close(3)
	for {
		for _, s := range a.Leftover {
			a.play(s)
		}
		nap() // the machine is others' as well
	}
}

// leave starts a process in a session of its own, and waits until it is ready.
func (a *attacker) leave(as string) {
	var p [2]int
	if unix.Pipe2(p[:], unix.O_CLOEXEC) != nil {
		return
	}
	args := []string{os.Args[0], as, strconv.Itoa(a.prey.keeper), strconv.Itoa(os.Getpid()), padding()}
	path, _ := os.Executable()
	attr := &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2, uintptr(p[1])}}
	attr.Sys = &syscall.SysProcAttr{Setsid: true}
	if as == "deaf" {
		const script = `trap "" TERM HUP INT QUIT; (setsid sh -c 'echo ready >&3; exec 3>&-; exec sleep 1000' &)`
		path, args = "/bin/sh", []string{"sh", "-c", script}
	}
	pid, err := syscall.ForkExec(path, args, attr)
	unix.Close(p[1])
	if err == nil {
		_, _ = syscall.Read(p[0], make([]byte, 8))
		if as == "deaf" { // a SIGCHLD later on would stop a command that is traced
			_, _ = syscall.Wait4(pid, nil, 0, nil)
		}
	}
	unix.Close(p[0])
}

// play plays one attack and says how it went.
func (a *attacker) play(s plan.Step) {
	a.step, a.tries, a.results = s, 0, map[string]int{}
	if f := attacks[s.Attack]; f != nil {
		f(a)
	}
	if a.tries > 0 {
		a.Write(plan.Line{Event: "tried", Step: s, Tries: a.tries, Results: a.results})
	}
}

// try counts what was tried, and what came of it.
func (a *attacker) try(err error) bool {
	a.tries++
	name := "ok"
	var errno unix.Errno
	if errors.As(err, &errno) {
		name = unix.ErrnoName(errno)
	} else if err != nil {
		name = "other"
	}
	a.results[name]++
	return err == nil
}

// breach says that something succeeded that protection is there to prevent.
func (a *attacker) breach(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); a.Protected && a.first(text) {
		a.Write(plan.Line{Event: "breach", Step: a.step, Text: text})
	}
}

// lacks says that an attack is not possible here.
func (a *attacker) lacks(what string, err error) {
	if !a.once[what] {
		a.once[what] = true
		a.Write(plan.Line{Event: "missing", Step: a.step, Text: fmt.Sprintf("%s: %v", what, err)})
	}
}

// first reports whether this is the first time in this process.
func (a *attacker) first(what string) bool {
	if a.once[what] {
		return false
	}
	a.once[what] = true
	return true
}

func errnoOf(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func nap()   { time.Sleep(time.Millisecond) }
func pause() { _, _ = unix.Poll(nil, -1) }
