package engines

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// engineCgroup is the cgroup, in the room's, of everything that is not in a container: v2 wants
// processes in leaves only.
const engineCgroup = "engine"

// room is where the engines run: PID, mount, cgroup and network namespaces, and a cgroup, all of
// their own. It ends with this process.
type room struct {
	dir    string // for all files, and the same path inside and outside
	rootfs string // a root file system: busybox under /bin, and /finite
	pid    string // of its PID 1

	cgroup   *os.File // engineCgroup
	lifeline io.Closer
	janitor  *exec.Cmd
}

var (
	openRoom = sync.OnceValues(newRoom)
	opened   *room
)

// enter returns the room, which is made by the first test that comes.
func enter(t *testing.T) *room {
	t.Helper()
	need(t, "root", "cgroup2", "busybox", "nsenter", "mount", "env")
	r, err := openRoom()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newRoom() (r *room, err error) {
	mount, err := cgroup2Mount()
	if err != nil {
		return nil, err
	}
	r = &room{}
	// Not TMPDIR: the paths of sockets are short, and the room covers /var and /run.
	if r.dir, err = os.MkdirTemp("/tmp", "finite-engines-"); err != nil {
		return nil, err
	}
	cgroup := filepath.Join(mount, filepath.Base(r.dir))
	if err := os.Mkdir(cgroup, 0o755); err != nil {
		return nil, errors.Join(err, os.RemoveAll(r.dir))
	}
	if err := r.startJanitor(cgroup); err != nil {
		return nil, errors.Join(err, removeCgroup(cgroup), os.RemoveAll(r.dir))
	}
	opened = r // from here on, the janitor removes
	if r.cgroup, err = os.Open(filepath.Join(cgroup, engineCgroup)); err != nil {
		return nil, err
	}
	r.rootfs = filepath.Join(r.dir, "image", "rootfs")
	if err := makeRootfs(r.rootfs); err != nil {
		return nil, fmt.Errorf("cannot make a root file system: %w", err)
	}
	return r, nil
}

// startJanitor starts the janitor and waits until the room is there.
func (r *room) startJanitor(cgroup string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	logPath := filepath.Join(r.dir, "janitor.log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(self, cgroup, r.dir)
	cmd.Env = append(os.Environ(), roleVariable+"="+roleJanitor)
	cmd.Stderr = log
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true} // Ctrl-C ends the tests, not who cleans up after them
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	r.pid = strings.TrimSpace(line)
	if _, err := strconv.Atoi(r.pid); err != nil {
		why, _ := os.ReadFile(logPath)
		lifeline.Close()
		return errors.Join(fmt.Errorf("cannot make the room of the engines: %s", why), cmd.Wait())
	}
	r.lifeline, r.janitor = lifeline, cmd
	return nil
}

// command is a command that runs in the room.
func (r *room) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter",
		append([]string{"-t", r.pid, "--mount", "--cgroup", "--pid", "--net", "--", name}, args...)...)
	cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(r.cgroup.Fd())}
	return cmd
}

// closeRoom ends everything in the room and waits until nothing of it is left.
func closeRoom() error {
	if opened == nil {
		return nil
	}
	opened.lifeline.Close()
	if err := opened.janitor.Wait(); err != nil {
		return fmt.Errorf("janitor: %w, and %s may say why", err, opened.dir)
	}
	if _, err := os.Stat(opened.dir); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is still there", opened.dir)
	}
	return nil
}
