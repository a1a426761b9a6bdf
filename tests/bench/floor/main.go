// Command floor is the smallest Go program that runs a command and waits for it: what any init in
// Go costs at least.
package main

import (
	"os"
	"syscall"
)

func main() {
	pid, err := syscall.ForkExec(
		os.Args[1],
		os.Args[1:],
		&syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Env: os.Environ()},
	)
	if err != nil {
		os.Exit(127)
	}
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			os.Exit(status.ExitStatus())
		}
	}
}
