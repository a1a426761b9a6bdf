package testkit

import (
	"os"
	"strconv"
	"strings"
)

// Process is a process as /proc/[pid]/status tells (proc_pid_status(5)).
type Process struct {
	PID   int // in the PID namespace of the /proc that was read
	Inner int // in the process's own PID namespace
	State string
	Comm  string
}

// Everybody lists the processes of this PID namespace and of those below it, but its PID 1.
func Everybody() ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == 1 {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/status")
		if err != nil {
			continue // the process is gone
		}
		p := Process{PID: pid}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			f := strings.Fields(value)
			switch {
			case len(f) == 0:
			case key == "Name":
				p.Comm = f[0]
			case key == "State":
				p.State = f[0]
			case key == "NSpid":
				p.Inner, _ = strconv.Atoi(f[len(f)-1])
			}
		}
		all = append(all, p)
	}
	return all, nil
}
