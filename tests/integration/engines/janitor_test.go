package engines

import (
	"bufio"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// The test binary runs itself once more, as the janitor: it holds the room open while the lifeline
// on its stdin lasts, and when the tests are over, or are no more, it removes what the kernel does
// not remove by itself.
const (
	roleVariable = "TEST_FINITE_ENGINES_ROLE"
	roleJanitor  = "janitor"
)

// roomScript makes a room out of new namespaces and stays as its PID 1 until the lifeline is cut.
// Then the kernel kills everything in it and undoes all mounts. SIGCHLD is ignored so that orphans
// need nobody to reap them.
//
// The engines find cgroup v2 alone, and whatever they leave in /dev/shm, /etc, /opt, /run and /var
// goes with the room.
//
//go:embed testdata/room.sh
var roomScript string

// janitor makes the room in the given cgroup, writes the PID of its PID 1 to stdout, waits for its
// end and removes both the cgroup and the directory.
func janitor(cgroup, dir string) int {
	status := 0
	for _, err := range []error{keepRoom(cgroup), removeCgroup(cgroup), os.RemoveAll(dir)} {
		if err != nil {
			fmt.Fprintln(os.Stderr, "janitor:", err)
			status = 1
		}
	}
	return status
}

func keepRoom(cgroup string) error {
	runtime.LockOSThread() // the parent-death signal is sent at the end of the thread that cloned
	fd, err := unix.Open(cgroup, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open cgroup %s: %w", cgroup, err)
	}
	cmd := exec.Command("/bin/sh", "-c", roomScript, "sh", engineCgroup)
	cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		// The cgroup becomes the root in there, because this is after the clone into it.
		Unshareflags: unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP,
		UseCgroupFD:  true,
		CgroupFD:     fd,
		Pdeathsig:    unix.SIGKILL,
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot make the namespaces: %w", err)
	}
	if line, _ := bufio.NewReader(stdout).ReadString('\n'); line == "ready\n" {
		fmt.Println(cmd.Process.Pid)
	}
	return cmd.Wait()
}
