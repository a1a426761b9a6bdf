package integration

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/finite-init/finite/tests/internal/cage"
)

// playProber tries to get at the processes of which it is told the names, and says what succeeds.
// Then it does not end.
func playProber() {
	runtime.LockOSThread() // a tracer is a thread
	tries := 0
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		comm, _ := os.ReadFile(filepath.Join(dir, "comm"))
		name := strings.TrimSpace(string(comm))
		if name != "finite" && name != keeperName {
			continue
		}
		tries++
		for fd := range 64 {
			if f, err := os.OpenFile(fmt.Sprintf("%s/fd/%d", dir, fd),
				os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil {
				fmt.Printf("%s: opened descriptor %d\n", name, fd)
				f.Close()
			}
		}
		if _, err := os.ReadFile(dir + "/environ"); err == nil {
			fmt.Printf("%s: read environ\n", name)
		}
		if f, err := os.OpenFile(dir+"/mem", os.O_RDWR, 0); err == nil {
			fmt.Printf("%s: opened mem\n", name)
			f.Close()
		}
		if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); errno == 0 {
			fmt.Printf("%s: traced\n", name)
			_ = syscall.PtraceDetach(pid)
		}
		if pidfd, err := unix.PidfdOpen(pid, 0); err == nil {
			for fd := range 16 {
				if _, err := unix.PidfdGetfd(pidfd, fd, 0); err == nil {
					fmt.Printf("%s: took descriptor %d\n", name, fd)
				}
			}
		}
		byte0 := []byte{0}
		local := unix.Iovec{Base: &byte0[0], Len: 1}
		// The address is of no mapping: where writing is allowed, that is EFAULT.
		remote := unix.RemoteIovec{Base: 1, Len: 1}
		_, _, errno := unix.Syscall6(unix.SYS_PROCESS_VM_WRITEV, uintptr(pid),
			uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1, 0)
		if errno != unix.EPERM {
			fmt.Printf("%s: process_vm_writev: %v\n", name, errno)
		}
	}
	fmt.Printf("tried %d\n", tries)
	waitForEver()
}

// containerRoot is a command as root without what containers are not given, and what takes the
// place of CAP_SYS_PTRACE in places (ptrace(2), perf_event_open(2)).
func containerRoot(args ...string) []string {
	const without = "-sys_ptrace,-sys_admin,-perfmon"
	return append([]string{"/usr/bin/setpriv", "--bounding-set", without, "--inh-caps", without}, args...)
}

// With a deadline the command can neither open what finite holds, nor trace it, nor write to its
// memory; and the deadline holds.
func TestDeadlineIsProtected(t *testing.T) {
	needRoot(t)
	needCommand(t, "setpriv")
	for name, as := range map[string]func(args ...string) []string{
		"the same user":       unprivileged,
		"root in a container": containerRoot,
	} {
		t.Run(name, func(t *testing.T) {
			forModes(t, rootModes, func(t *testing.T, m mode) {
				t.Parallel()
				args := as(finiteBin, "-t", "3s", "-k", "200ms", "--", cage.Self)
				c := startSpec(t, cageSpec{Mode: m, Role: "prober", Args: args}, nil)
				r := c.wait()
				r.want(t, 124)
				want := "tried 2\n"
				if m == asInit {
					want = "tried 1\n"
				}
				if r.stdout != want {
					t.Errorf("stdout %q, want %q", r.stdout, want)
				}
			})
		})
	}
}

// As PID 1 without a deadline, finite is used as other inits are: by its descriptors and its
// environment.
func TestInitIsOpen(t *testing.T) {
	needRoot(t)
	for name, as := range map[string]func(args ...string) []string{
		"the same user":       unprivileged,
		"root in a container": containerRoot,
	} {
		t.Run(name, func(t *testing.T) {
			// A pipe that root has made is not another user's to open, so the shell that becomes
			// finite makes one.
			const script = `echo "by stdout" >/proc/1/fd/1; echo "by stderr" >/proc/1/fd/2; ` +
				`tr "\0" "\n" </proc/1/environ | grep MARK; exit 3`
			args := as("sh", "-c", `exec 9>&1; { exec 8>&9 9>&-; `+
				`MARK=found exec "$0" -- sh -c "$1" >/dev/fd/8; }`, finiteBin, script)
			if name == "the same user" {
				args = as("sh", "-c", `mkfifo "$2/pipe"; `+
					`cat "$2/pipe" & MARK=found exec "$0" -- sh -c "$1" >"$2/pipe" 2>"$2/stderr"`,
					finiteBin, script, openDir(t))
			}
			r := startSpec(t, cageSpec{Mode: asInit, Args: append([]string{"/usr/bin/env"}, args...)}, nil).wait()
			r.want(t, 3)
			for _, want := range []string{"by stdout\n", "MARK=found\n"} {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("no %q in stdout %q, stderr %q", want, r.stdout, r.stderr)
				}
			}
		})
	}
}

// openDir is a directory that everybody may write to.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o777)
	}
	return dir
}

// Files of /proc and /sys that the command has mounted a FIFO over, which keeps whoever opens it,
// do not keep the end away.
func TestMountedOverProc(t *testing.T) {
	needRoot(t)
	needCommand(t, "unshare")
	const cover = `cd "$1"; mkfifo fifo; front=1; [ $PPID = 1 ] || read -r _ _ _ front _ </proc/$PPID/stat; `
	for name, script := range map[string]string{
		"files of finite": `for f in comm status stat cmdline cgroup environ mountinfo maps limits wchan; do
	for p in 1 $PPID $$ $front; do mount --bind fifo /proc/$p/$f; done; done`,
		"all of proc": `mount -t tmpfs none /proc
mkdir -p /proc/1/task/1 /proc/self /proc/sys/kernel /proc/thread-self
mkfifo /proc/thread-self/children /proc/self/fd
for f in comm status stat cmdline cgroup environ mountinfo maps children task/1/children; do
	mkfifo /proc/1/$f /proc/self/${f##*/}; done 2>/dev/null
mkfifo /proc/sys/kernel/pid_max /proc/sys/kernel/cap_last_cap /proc/mounts /proc/stat /proc/meminfo; :`,
		"what the Go runtime reads": `mount --bind fifo /sys/kernel/mm/transparent_hugepage/hpage_pmd_size; ` +
			`mount --bind fifo /dev/null; mount --bind fifo /dev/urandom; :`,
	} {
		t.Run(name, func(t *testing.T) {
			for end, tt := range map[string]struct {
				options []string
				script  string
				status  int
			}{
				"exit":     {[]string{"-k", "200ms"}, "exit 3", 3},
				"deadline": {[]string{"-t", "1s", "-k", "200ms"}, "while :; do sleep 1000; done", 124},
				"signal": {
					[]string{"-k", "200ms"}, `trap "exit 4" TERM; kill -TERM $front; while :; do sleep 0.05; done`, 4,
				},
			} {
				t.Run(end, func(t *testing.T) {
					forModes(t, rootModes, func(t *testing.T, m mode) {
						t.Parallel()
						const deaf = `(trap "" TERM; exec setsid sleep 1000) & `
						args := append(append([]string{finiteBin}, tt.options...), "--",
							"sh", "-c", cover+deaf+script+"\necho covered; "+tt.script, "sh", openDir(t))
						r := startSpec(t, cageSpec{Mode: m, Args: privately(args...)}, nil).wait()
						r.want(t, tt.status)
						wantCalm(t, r)
						if strings.Contains(r.stderr, "the supervisor cannot run") {
							t.Errorf("stderr: %s", r.stderr)
						}
						if !strings.Contains(r.stdout, "covered\n") {
							t.Errorf("stdout %q, stderr %q", r.stdout, r.stderr)
						}
					})
				})
			}
		})
	}
}

//go:embed testdata/forged-proc.sh
var forgedProc string

// What the command has mounted over /proc is not believed: no stranger is signalled for it, and who
// is left out of it ends.
func TestForgedProc(t *testing.T) {
	needRoot(t)
	for _, way := range []string{"list", "tasks", "own", "all"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			for _, options := range [][]string{nil, {"-v"}} {
				args := privately(append([]string{"/bin/sh", "-c", stretch(forgedProc), finiteBin, openDir(t), way}, options...)...)
				r := startSpec(t, cageSpec{Mode: asSubreaper, Args: args}, nil).wait()
				r.want(t, 137)
				if want := "status 124\nState:\tS (sleeping)\n"; r.stdout != want {
					t.Errorf("stdout %q, want %q, stderr: %s", r.stdout, want, r.stderr)
				}
			}
		})
	}
}

// Who has CAP_SYS_NICE over the keeper can have its timers come seconds late (timerslack_ns). The
// keeper takes that back before it waits for one again.
func TestTimerSlackOfTheKeeper(t *testing.T) {
	needRoot(t)
	const script = `f=/proc/$PPID/timerslack_ns
was=$(cat $f) && echo 4000000000 >$f || exit 9
until [ "$(cat $f)" = 4000000000 ]; do echo 4000000000 >$f; done # the keeper may have waited just then
until [ "$(cat $f)" = "$was" ]; do (true &); done; exit 5`
	forModes(t, rootModes, func(t *testing.T, m mode) {
		run(t, m, "-t", "1h", "--", "sh", "-c", script).want(t, 5)
	})
}
