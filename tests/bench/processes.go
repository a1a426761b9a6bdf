package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// own returns the processes that an init consists of: the one that was started, and those of its
// descendants that run the same program. A process without a program, such as a zombie, is none.
// Whose process is not dumpable, its program can be seen by root alone.
func own(pid int) ([]int, error) {
	program, err := programOf(pid)
	if err != nil {
		return nil, err
	}
	found := []int{pid}
	for i := 0; i < len(found); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", found[i])) // each thread has its own
		for _, file := range files {
			b, _ := os.ReadFile(file)
			for _, word := range strings.Fields(string(b)) {
				child, _ := strconv.Atoi(word)
				its, err := programOf(child)
				switch {
				case errors.Is(err, fs.ErrPermission):
					return nil, err
				case err == nil && os.SameFile(program, its):
					found = append(found, child)
				}
			}
		}
	}
	return found, nil
}

func programOf(pid int) (fs.FileInfo, error) {
	info, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("%w: it needs root, with CAP_SYS_PTRACE", err)
	}
	return info, err
}

// work is what a thread has done so far.
type work struct {
	switches int           // voluntary context switches: each ends something that it was woken up for
	running  time.Duration // on a processor
}

// activity has the work of all threads of an init's processes, by their directories in /proc.
type activity map[string]work

// activityOf reads sched-stats.rst and proc_pid_status(5) of the init that was started as pid.
func activityOf(pid int) (activity, error) {
	pids, err := own(pid)
	if err != nil {
		return nil, err
	}
	all := activity{}
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			var w work
			w.switches, _ = strconv.Atoi(field(task+"/status", "voluntary_ctxt_switches"))
			b, _ := os.ReadFile(task + "/schedstat")
			if first, _, ok := strings.Cut(string(b), " "); ok {
				n, _ := strconv.ParseInt(first, 10, 64)
				w.running = time.Duration(n)
			}
			all[task] = w
		}
	}
	return all, nil
}

// since returns what was done since then. What did not exist then began with nothing.
func (a activity) since(then activity) (sum work) {
	for task, w := range a {
		sum.switches += w.switches - then[task].switches
		sum.running += w.running - then[task].running
	}
	return sum
}

// memory is what an init holds.
type memory struct {
	processes, threads int
	dirty, pss         number // kB; none where the kernel does not say (CONFIG_PROC_PAGE_MONITOR)
}

// dirtyKey is the field of proc_pid_smaps(5) for what an init has written to. After a fork some
// pages are still shared by the init's own processes. They are private for none of them, and so
// Private_Dirty would leave them out. Pss_Dirty counts each once in the sum. For a single process
// the two are the same. Before Linux 6.0 there is only the former.
var dirtyKey = func() string {
	if field("/proc/self/smaps_rollup", "Pss_Dirty") != "" {
		return "Pss_Dirty"
	}
	return "Private_Dirty"
}()

// memoryOf adds up the processes of the init that was started as pid.
func memoryOf(pid int) (m memory, err error) {
	pids, err := own(pid)
	if err != nil {
		return m, err
	}
	m.processes = len(pids)
	sum := func(pid int, key string) number {
		kb, err := kilobytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), key)
		if err != nil {
			return none
		}
		return number(kb)
	}
	for _, pid := range pids {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		m.threads += len(tasks)
		m.dirty += sum(pid, dirtyKey)
		m.pss += sum(pid, "Pss")
	}
	return m, nil
}
