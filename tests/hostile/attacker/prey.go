package main

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// prey is who is attacked: the processes of finite, as the attacker finds them.
type prey struct {
	front   int // 0: the keeper is PID 1
	keeper  int
	command int
}

// named is a process of finite and what it is.
type named struct {
	pid  int
	name string
}

// findPrey finds the front by the keeper's status file.
func findPrey(keeper, command int) prey {
	p := prey{keeper: keeper, command: command}
	if keeper != 1 {
		if p.front = parentOf(keeper); p.front == 1 { // the keeper is who was started: another init
			p.front = 0
		}
	}
	return p
}

func parentOf(pid int) int {
	text, _ := readFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "PPid:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(value))
			return n
		}
	}
	return 0
}

// supervisor finds the supervisor that there is now, 0 if there is none. Neither "children" nor
// "comm" waits for the process that it is about.
func (p *prey) supervisor() int {
	text, err := readFile(fmt.Sprintf("/proc/%d/task/%d/children", p.keeper, p.keeper))
	if err != nil {
		return 0
	}
	for word := range strings.FieldsSeq(string(text)) {
		if comm, _ := readFile("/proc/" + word + "/comm"); string(comm) == "supervisor\n" {
			pid, _ := strconv.Atoi(word)
			return pid
		}
	}
	return 0
}

// readFile reads what a file of /proc has, and does not wait where a FIFO is mounted over it.
func readFile(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 8192)
	n, err := unix.Read(fd, b)
	if n == 0 && err == nil {
		err = unix.ENODATA // so it is for a process that has no memory any more
	}
	return b[:max(n, 0)], err
}

// targets are those that the step is about, and that are there.
func (a *attacker) targets() (found []named) {
	all := a.step.Target == "all"
	if (all || a.step.Target == "front") && a.prey.front > 1 {
		found = append(found, named{a.prey.front, "front"})
	}
	if all || a.step.Target == "keeper" || a.step.Target == "front" && a.prey.front == 0 {
		found = append(found, named{a.prey.keeper, "keeper"})
	}
	if all || a.step.Target == "supervisor" {
		if pid := a.prey.supervisor(); pid != 0 {
			found = append(found, named{pid, "supervisor"})
		}
	}
	return found
}
